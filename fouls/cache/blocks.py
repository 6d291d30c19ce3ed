"""Writing one block: arrays first, on the disk, then the ledger."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from fouls.cache.disk import writing
from fouls.cache.ledger import BlockRecord, commit, from_ranges
from fouls.cache.links import refuse_links
from fouls.cache.store import Store
from fouls.cache.zarr_store import zarr_store
from fouls.errors import StoreError
from fouls.files import sync
from fouls.objects.location import Location

Features = dict[str, npt.NDArray[Any]]
"""Pool → (rows of the block, …) in the stored dtype."""


class BlockWriter:
    """Writes blocks of one store; one instance a process, usable from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._group = zarr.open_group(zarr_store(store.path), mode="r+", zarr_format=3)

    def commit(self, features: Features, record: BlockRecord) -> BlockRecord:
        """Write a block's arrays whole, and then its record.

        Args:
            features: what the arrays hold afterwards; NaN in rows that ``record`` does not call done.
            record: the block's record; checksums, the seconds of writing and the time of the commit are filled in.

        Returns:
            The record as it was written.

        Raises:
            StoreError: a done row is not finite, a part of the store is a link, or the disk takes no more.
        """
        start, stop = block_span(self.store, record.block)
        done = _positions(record, start)
        for pool, values in features.items():
            _check_finite(pool, values[done], done + start)
        started = time.perf_counter()
        for pool, values in features.items():
            array: Any = self._group[pool]
            chunk = chunk_path(self.store, pool, record.block)
            refuse_links(self.store.path, chunk.parent)
            with writing(self.store.path):
                array[start:stop] = values
                if isinstance(chunk, Path) and chunk.exists():  # a chunk of nothing but NaN is not stored
                    sync(chunk)
        seconds = {**record.seconds, "write": round(time.perf_counter() - started, 6)}
        record = dataclasses.replace(
            record,
            seconds=seconds,
            checksums={pool: checksum(values[done]) for pool, values in features.items()},
            finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        commit(self.store.path, record)
        return record


def chunk_path(store: Store, pool: str, block: int) -> Location:
    """Where a block of a pool lies."""
    return store.path.joinpath(pool, "c", str(block), *["0"] * len(store.pools[pool]))


def block_span(store: Store, block: int) -> tuple[int, int]:
    """The row numbers [start, stop) of a block; the last one may be short."""
    num_rows = int(store[next(iter(store.pools))].shape[0])
    start = block * store.block_rows
    return start, min(start + store.block_rows, num_rows)


def empty_features(store: Store, block: int) -> Features:
    """NaN for every row of a block."""
    start, stop = block_span(store, block)
    dtype = np.dtype(store.spec.stored_dtype)
    return {pool: np.full((stop - start, *shape), np.nan, dtype=dtype) for pool, shape in store.pools.items()}


def load_done(store: Store, record: BlockRecord) -> Features | None:
    """A block as it stands, to add to it: NaN but for the rows that the record calls done.

    Returns:
        ``None`` when a done row is not what the record says: the block has to be done anew.
    """
    start, stop = block_span(store, record.block)
    if not record.within(range(start, stop)):
        return None
    features = empty_features(store, record.block)
    done = _positions(record, start)
    if not len(done):
        return features
    for pool, values in features.items():
        read = read_chunk(store[pool], record.block)
        if read is None or checksum(read[done]) != record.checksums.get(pool):
            return None
        values[done] = read[done]
    return features


def read_chunk(array: zarr.Array[Any], block: int) -> npt.NDArray[Any] | None:
    """A block's rows of one pool, whatever the ledger says of them; NaN where no chunk was ever written.

    Returns:
        ``None`` when the chunk is not what was written: its own checksum does not match, or it is cut short.
    """
    start = block * array.chunks[0]
    try:
        return np.asarray(array[start : start + array.chunks[0]])
    except (ValueError, OSError):
        return None


_EXPONENTS: dict[np.dtype[Any], tuple[type[np.unsignedinteger], int]] = {
    np.dtype(np.float16): (np.uint16, 0x7C00),
    np.dtype(np.float32): (np.uint32, 0x7F800000),
}


def finite_rows(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether all of a row is finite, (rows,). By the exponent's bits: several times as fast as ``np.isfinite``."""
    integer, exponent = _EXPONENTS[values.dtype]
    bits = np.ascontiguousarray(values).view(integer)
    finite: npt.NDArray[np.bool_] = ((bits & integer(exponent)) != exponent).all(axis=tuple(range(1, values.ndim)))
    return finite


def checksum(values: npt.NDArray[Any]) -> str:
    """``sha256:…`` of the values' bytes, little-endian, in C order."""
    little_endian = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return f"sha256:{hashlib.sha256(little_endian.view(np.uint8).data).hexdigest()}"


def _positions(record: BlockRecord, start: int) -> npt.NDArray[np.int64]:
    return np.fromiter(from_ranges(record.done), dtype=np.int64) - start


def _check_finite(pool: str, values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    bad = ~finite_rows(values)
    if bad.any():
        raise StoreError(
            f"row {rows[bad][0]} of pool {pool!r} is not finite as {values.dtype}: its values are beyond the range; "
            "use --dtype float32, or --precision fp32"
        )
