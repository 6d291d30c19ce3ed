"""How a store lies on the disk, and how it is made: a Zarr v3 group with one array a pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from fouls.cache.ledger import LEDGER_FOLDER
from fouls.cache.rows import INDEX_FOLDER
from fouls.cache.spec import Spec

FORMAT_VERSION = 1
MAX_BLOCK_ROWS = 64
MIN_BLOCK_ROWS = 4
MAX_BLOCK_BYTES = 64 * 2**20

PoolShapes = Mapping[str, tuple[int, ...]]
"""Pool → shape of one row's feature."""

_DIMENSIONS = {1: ("feature",), 2: ("position", "feature")}


def choose_block_rows(num_rows: int, shapes: PoolShapes, dtype: str) -> int:
    """Rows a block for a new store: a power of two that depends on the plan alone, never on the workers.

    At least 16 blocks where there are rows enough, so that several workers share even a small manifest and a crash
    costs little; at most 64 rows, and 64 MiB in the largest pool.
    """
    largest = max(int(np.prod(shape)) for shape in shapes.values()) * np.dtype(dtype).itemsize
    wanted = min(MAX_BLOCK_ROWS, max(MIN_BLOCK_ROWS, num_rows // 16))
    return _floor_power_of_two(max(1, min(wanted, MAX_BLOCK_BYTES // largest)))


def _floor_power_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1)


def create_group(path: Path, *, spec: Spec, shapes: PoolShapes, block_rows: int, made_by: Mapping[str, Any]) -> None:
    """Make what is missing of an empty store: group, ``rows``, ``ledger``, and an array without rows a pool.

    Safe to repeat after a crash at any point; a group that is there is left as it is.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "zarr.json").exists():
        attributes = {
            "format_version": FORMAT_VERSION,
            "fingerprint": spec.fingerprint,
            "spec": spec.to_dict(),
            "block_rows": block_rows,
            "pools": {pool: list(shape) for pool, shape in sorted(shapes.items())},
            "made_by": dict(made_by),
        }
        zarr.create_group(path, zarr_format=3, attributes=attributes)
    complete_group(path)


def complete_group(path: Path) -> None:
    """Make the members that a crash while the store was being made has left out."""
    group = zarr.open_group(path, mode="r+")
    attributes = group.attrs.asdict()
    for name in (INDEX_FOLDER, LEDGER_FOLDER):
        if not (path / name / "zarr.json").exists():
            group.create_group(name)
    block_rows: Any = attributes["block_rows"]
    pools: Any = attributes["pools"]
    spec: Any = attributes["spec"]
    for pool, shape in pools.items():
        if (path / pool / "zarr.json").exists():
            continue
        group.create_array(
            pool,
            shape=(0, *shape),
            chunks=(block_rows, *shape),
            dtype=spec["stored_dtype"],
            fill_value=np.nan,
            # Features hardly compress; the checksum lets every reader notice a flipped bit.
            compressors=[Crc32cCodec()],
            dimension_names=("row", *_DIMENSIONS.get(len(shape), tuple(f"axis_{i}" for i in range(len(shape))))),
        )


def resize_arrays(path: Path, num_rows: int) -> None:
    """Grow every pool's array to ``num_rows`` rows; it never shrinks."""
    group = zarr.open_group(path, mode="r+")
    for pool in _pools(group):
        array = group[pool]
        if array.shape[0] < num_rows:
            array.resize((num_rows, *array.shape[1:]))


def _pools(group: zarr.Group) -> list[str]:
    pools: Any = group.attrs["pools"]
    return list(pools)
