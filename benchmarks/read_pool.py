"""Is a pool read as fast as a plain array of the same bytes?

Reads the pool of a store of MVFoul's size (7 000 rows of 8 × 768, float16) into memory, as training does, and the same
values with ``numpy.load``, in turn, from the page cache. Both give a new array; the pool's rows are checked on the way,
each chunk by its CRC-32C and each row to be finite.

    python benchmarks/read_pool.py [--repeat 15]

Ends with 1 when the median of the pool is below 0.8 of the speed of ``numpy.load``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mvfoul_size import make_world

from fouls.heads.read_pool import read_pool

WANTED = 0.8


def seconds_of(read: Callable[[], np.ndarray[Any, Any]]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15, help="reads of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, manifest, _ = make_world(Path(folder))
        rows = np.arange(manifest.num_rows)
        plain = Path(folder) / "pool.npy"
        expected = np.asarray(store["temporal"][:])
        np.save(plain, expected)
        reads = {
            "numpy.load": lambda: np.load(plain),
            "pool": lambda: read_pool(store, "temporal", rows, manifest["video_id"]),
            "pool, through Zarr": lambda: np.asarray(store["temporal"][:]),
        }
        if not np.array_equal(reads["pool"](), expected):
            raise SystemExit("the pool's values are not those that Zarr reads")
        seconds = {name: [] for name in reads}
        for _ in range(options.repeat):
            for name, read in reads.items():
                seconds[name].append(seconds_of(read))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{expected.nbytes / 1e6:.0f} MB, {options.repeat} reads each: median (fastest to slowest)")
    for name, values in seconds.items():
        spread = f"{1e3 * min(values):.0f} to {1e3 * max(values):.0f} ms"
        print(f"{name:20s} {1e3 * medians[name]:6.1f} ms ({spread})  {expected.nbytes / medians[name] / 1e9:5.2f} GB/s")
    ratio = medians["numpy.load"] / medians["pool"]
    print(f"the pool is read at {ratio:.2f} × the speed of numpy.load; wanted: {WANTED}")
    raise SystemExit(ratio < WANTED)


if __name__ == "__main__":
    main()
