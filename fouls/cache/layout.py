"""How a store lies on the disk, and how it is made: a Zarr v3 group with one array a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from fouls.cache.attributes import FORMAT_VERSION, is_sealed, parse_attributes, seal
from fouls.cache.disk import writing
from fouls.cache.index_files import INDEX_FOLDER, index_files
from fouls.cache.ledger import LEDGER_FOLDER, record_files
from fouls.cache.links import refuse_links
from fouls.cache.spec import Spec
from fouls.cache.zarr_store import zarr_store
from fouls.errors import DamagedStoreError
from fouls.objects.location import Location

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


def create_group(
    path: Location,
    *,
    spec: Spec,
    shapes: PoolShapes,
    block_rows: int,
    made_by: Mapping[str, Any],
    grids: PoolShapes | None = None,
) -> None:
    """Make what is missing of an empty store: group, ``rows``, ``ledger``, and an array without rows a pool.

    Safe to repeat after a crash at any point; a group that is there is left as it is.

    Raises:
        StoreError: a part of the store is a link that leads out of it, or the disk takes no more.
        DamagedStoreError: it is a store already, whose ``zarr.json`` is lost.
    """
    attributes = {
        "format_version": FORMAT_VERSION,
        "fingerprint": spec.fingerprint,
        "spec": spec.to_dict(),
        "block_rows": block_rows,
        "pools": {pool: list(shape) for pool, shape in sorted(shapes.items())},
        "made_by": dict(made_by),
        **({"grids": {pool: list(grid) for pool, grid in sorted(grids.items())}} if grids else {}),
    }
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "zarr.json").exists():
            _refuse_remains(path)
            zarr.create_group(zarr_store(path), zarr_format=3, attributes=seal(attributes))
        complete_group(path)


def _refuse_remains(path: Location) -> None:
    """Refuse to begin a store where one is that has lost its attributes: its rows have their numbers."""
    if index_files(path) or record_files(path):
        raise DamagedStoreError(
            f"{path} is a store without its zarr.json, which is lost: `fouls verify {path} --repair` restores it"
        )


def complete_group(path: Location) -> None:
    """Make the members that a crash while the store was being made has left out.

    Raises:
        StoreError: a part of the store is a link that leads out of it.
    """
    group = zarr.open_group(zarr_store(path), mode="r+", zarr_format=3)
    plain = group.attrs.asdict()
    attributes = parse_attributes(plain, path)
    refuse_links(path, *(path / member for member in (INDEX_FOLDER, LEDGER_FOLDER, *attributes.pools)))
    if not (path / INDEX_FOLDER / "zarr.json").exists():
        # Its attributes are the store's once more, where there is a checksum to tell which of the two is damaged.
        group.create_group(INDEX_FOLDER, attributes=plain if is_sealed(plain) else None)
    if not (path / LEDGER_FOLDER / "zarr.json").exists():
        group.create_group(LEDGER_FOLDER)
    for pool, shape in attributes.pools.items():
        if (path / pool / "zarr.json").exists():
            continue
        group.create_array(
            pool,
            shape=(0, *shape),
            chunks=(attributes.block_rows, *shape),
            dtype=attributes.spec.stored_dtype,
            fill_value=np.nan,
            # Features hardly compress; the checksum lets every reader notice a flipped bit.
            compressors=[Crc32cCodec()],
            dimension_names=dimension_names(len(shape)),
        )


def dimension_names(num_axes: int) -> tuple[str, ...]:
    """Names of an array's axes, for rows of features with ``num_axes`` axes."""
    return ("row", *_DIMENSIONS.get(num_axes, tuple(f"axis_{axis}" for axis in range(num_axes))))


def resize_arrays(path: Location, num_rows: int) -> None:
    """Grow every pool's array to ``num_rows`` rows; it never shrinks.

    Raises:
        StoreError: a pool is a link, or the disk takes no more.
    """
    group = zarr.open_group(zarr_store(path), mode="r+", zarr_format=3)
    for pool in parse_attributes(group.attrs.asdict(), path).pools:
        refuse_links(path, path / pool)
        array: Any = group[pool]
        if array.shape[0] < num_rows:
            with writing(path):
                array.resize((num_rows, *array.shape[1:]))
