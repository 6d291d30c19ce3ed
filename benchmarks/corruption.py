"""Is every damage to a store found, and does a repair ever leave a wrong row?

Makes a small store with made-up values, and damages a copy of it in one place: one bit of one file turned, a file cut
short, 64 bytes zeroed, a file lost, a file put in another's place. Then `verify` looks for it and `repair` mends what
it can, and what is left is compared with what was written. All of it many times for every kind of file.

    python benchmarks/corruption.py [--times 100] [--seed 0]
    python benchmarks/corruption.py --every-bit

The second turns every bit of every file, one at a time, and only verifies. Both end with 1 when a damage was not found,
or a row is wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord, RowFailure, to_ranges
from fouls.cache.repair import repair
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import Store, open_store
from fouls.cache.verify import verify
from fouls.commands import console
from fouls.errors import StoreError

SHAPES = {"mean": (24,), "temporal": (4, 24)}
BLOCK_ROWS = 4
ROWS, LATER_ROWS = 16, 5
FAILED = {6, 17}

KINDS: dict[str, Callable[[str], bool]] = {
    "the store's zarr.json": lambda name: name == "zarr.json",
    "its copy in rows": lambda name: name == "rows/zarr.json",
    "zarr.json of the ledger": lambda name: name == "ledger/zarr.json",
    "zarr.json of an array": lambda name: name.endswith("zarr.json") and name.split("/")[0] in SHAPES,
    "row index": lambda name: name.endswith(".parquet"),
    "copy of the row index": lambda name: name.endswith(".copy"),
    "ledger record": lambda name: name.startswith("ledger/0"),
    "chunk": lambda name: "/c/" in name,
}
"""Kind of file → whether a path below the store is of it."""


def make_store(path: Path) -> Store:
    """Two plannings, every block done, two rows failed."""
    spec = Spec(
        backbone="videomae_base",
        weights=WeightsSpec(sha256="ab" * 32),
        sampling=SamplingSpec(num_frames=16),
        preprocessing=PreprocessingSpec(resize_to=224, crop=224, antialias=True, mean=(0, 0, 0), std=(1, 1, 1)),
        pools=tuple(SHAPES),
    )
    create_group(path, spec=spec, shapes=SHAPES, block_rows=BLOCK_ROWS, made_by={"options": {}, "versions": {}})
    append_rows(path, planning(0, ROWS))
    append_rows(path, planning(ROWS, LATER_ROWS))
    resize_arrays(path, ROWS + LATER_ROWS)
    store = open_store(path)
    rng = np.random.default_rng(0)
    for block in range(-(-(ROWS + LATER_ROWS) // BLOCK_ROWS)):
        rows = range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, ROWS + LATER_ROWS))
        done = [row for row in rows if row not in FAILED]
        features = empty_features(store, block)
        for values in features.values():
            for row in done:
                values[row - rows.start] = rng.standard_normal(values.shape[1:])
        failures = tuple(
            RowFailure(row=row, video_id=f"v{row}", code="decode_error", message="cut off")
            for row in rows
            if row in FAILED
        )
        BlockWriter(store).commit(features, BlockRecord(block=block, done=to_ranges(done), failures=failures))
    return store


def planning(first: int, count: int) -> pa.Table:
    """One row a video."""
    columns: dict[str, list[Any]] = {name: [0] * count for name in ROW_SCHEMA.names}
    columns |= {name: [f"v{row}" for row in range(first, first + count)] for name in ("video_id", "sample_id")}
    columns |= {"row": list(range(first, first + count)), "content_hash": [None] * count, "plan_error": [None] * count}
    columns |= {"frame_indices": [list(range(16))] * count, "stop_frame": [16] * count, "stop_seconds": [0.64] * count}
    return pa.table(columns, schema=ROW_SCHEMA)


def flip(file: Path, chance: random.Random, _: list[Path]) -> None:
    """Turn one bit."""
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def cut(file: Path, chance: random.Random, _: list[Path]) -> None:
    """Cut a file short, perhaps to nothing."""
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def zero(file: Path, chance: random.Random, _: list[Path]) -> None:
    """Zero 64 bytes, as many as there are from some place on."""
    data = bytearray(file.read_bytes())
    start = chance.randrange(len(data))
    data[start : start + 64] = bytes(len(data[start : start + 64]))
    file.write_bytes(data)


def lose(file: Path, chance: random.Random, _: list[Path]) -> None:
    """Remove a file."""
    file.unlink()


def exchange(file: Path, chance: random.Random, others: list[Path]) -> None:
    """Put the bytes of another file of the kind in its place."""
    data = file.read_bytes()
    different = [other for other in others if other.read_bytes() != data]
    file.write_bytes(chance.choice(different).read_bytes() if different else b"{}")


DAMAGES = {"bit turned": flip, "cut short": cut, "64 bytes zeroed": zero, "lost": lose, "another's bytes": exchange}


class Truth:
    """What was written, to compare with."""

    def __init__(self, store: Store) -> None:
        self.rows = store.rows()
        self.values = {pool: np.asarray(store[pool][:]) for pool in store.pools}

    def wrong_rows(self, store: Store) -> tuple[int, int]:
        """Rows that a store calls done and that are not what was written; and rows that were done and are to do."""
        rows = store.rows()
        if rows.drop_columns("status") != self.rows.drop_columns("status"):
            return rows.num_rows, 0
        before, now = self.rows["status"].to_pylist(), rows["status"].to_pylist()
        done = np.array([status == "done" for status in now])
        differing = np.zeros(len(done), dtype=bool)
        for pool, values in self.values.items():
            found = np.asarray(store[pool][:])
            differing |= (found != values).reshape(len(values), -1).any(axis=1)
        lost = sum(was == "done" and status == "todo" for was, status in zip(before, now, strict=True))
        return int((differing & done).sum()), lost


def attempt(path: Path, truth: Truth) -> Counter[str]:
    """Verify and repair a damaged store."""
    outcome = Counter(tried=1, found=int(is_found(path)))
    try:
        repaired = repair(path)
    except StoreError:
        repaired = None
    if repaired is None or not repaired.report.whole:
        outcome["not mended"] += 1
        return outcome
    wrong, lost = truth.wrong_rows(open_store(path))
    outcome["mended"] += 1
    outcome["rows to do again"] += lost
    outcome["rows wrong"] += wrong
    return outcome


def every_bit() -> bool:
    """Turn each bit of each file in turn; whether all were found."""
    table = []
    with tempfile.TemporaryDirectory() as folder:
        path = make_store(Path(folder) / "store").path
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        with console.progress("turning", sum(8 * file.stat().st_size for file in files), "bits") as advance:
            for kind, is_kind in KINDS.items():
                tried = found = 0
                for file in files:
                    if is_kind(file.relative_to(path).as_posix()):
                        data = file.read_bytes()
                        for bit in range(8 * len(data)):
                            turned = bytearray(data)
                            turned[bit // 8] ^= 1 << bit % 8
                            file.write_bytes(turned)
                            tried, found = tried + 1, found + is_found(path)
                            advance(1)
                        file.write_bytes(data)
                table.append([kind, tried, found])
    table.append(["all", *(sum(row[column] for row in table) for column in (1, 2))])
    console.table("every bit turned", ["file", "tried", "found"], table)
    return bool(table[-1][1] == table[-1][2])


def is_found(path: Path) -> bool:
    """Whether `verify` has anything to say of a store."""
    try:
        return bool(verify(path).findings)
    except StoreError:  # not even to be taken for a store
        return True


def main() -> None:
    """Damage, verify, repair, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="each damage to each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-bit", action="store_true")
    options = parser.parse_args()
    if options.every_bit:
        sys.exit(not every_bit())
    chance = random.Random(options.seed)
    columns = ["tried", "found", "mended", "not mended", "rows to do again", "rows wrong"]
    table, total = [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder, console.progress("damaging", options.times * 40, "stores") as advance:
        whole, copy = Path(folder) / "whole", Path(folder) / "copy"
        truth = Truth(make_store(whole))
        names = [file.relative_to(whole).as_posix() for file in sorted(whole.rglob("*")) if file.is_file()]
        for kind, is_kind in KINDS.items():
            of_kind = [name for name in names if is_kind(name)]
            for damage, spoil in DAMAGES.items():
                outcome = Counter[str]()
                for _ in range(options.times):
                    shutil.copytree(whole, copy)
                    spoil(copy / chance.choice(of_kind), chance, [copy / name for name in of_kind])
                    outcome += attempt(copy, truth)
                    shutil.rmtree(copy)
                    advance(1)
                table.append([kind, damage, *(outcome[column] for column in columns)])
                total += outcome
    table.append(["all", "", *(total[column] for column in columns)])
    console.table("damaged stores", ["file", "damage", *columns], table)
    if total["found"] < total["tried"] or total["rows wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
