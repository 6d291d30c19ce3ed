"""Writing one block: arrays first, on the disk, then the ledger."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from fouls.cache.ledger import BlockRecord, commit, from_ranges
from fouls.cache.store import Store
from fouls.errors import StoreError
from fouls.files import sync

Features = dict[str, npt.NDArray[Any]]
"""Pool → (rows of the block, …) in the stored dtype."""


class BlockWriter:
    """Writes blocks of one store; one instance a process, usable from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._group = zarr.open_group(store.path, mode="r+")

    def commit(self, features: Features, record: BlockRecord) -> BlockRecord:
        """Write a block's arrays whole, and then its record.

        Args:
            features: what the arrays hold afterwards; NaN in rows that ``record`` does not call done.
            record: the block's record; checksums, the seconds of writing and the time of the commit are filled in.

        Returns:
            The record as it was written.

        Raises:
            StoreError: a done row is not finite.
        """
        start, stop = block_span(self.store, record.block)
        done = _positions(record, start)
        for pool, values in features.items():
            _check_finite(pool, values[done], done + start)
        started = time.perf_counter()
        for pool, values in features.items():
            array: Any = self._group[pool]
            array[start:stop] = values
            self._sync_chunk(pool, record.block)
        seconds = {**record.seconds, "write": round(time.perf_counter() - started, 6)}
        record = dataclasses.replace(
            record,
            seconds=seconds,
            checksums={pool: checksum(values[done]) for pool, values in features.items()},
            finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        commit(self.store.path, record)
        return record

    def _sync_chunk(self, pool: str, block: int) -> None:
        zeros = ["0"] * len(self.store.pools[pool])
        chunk = self.store.path.joinpath(pool, "c", str(block), *zeros)
        if chunk.exists():  # a chunk of nothing but NaN is not stored
            sync(chunk)


def block_span(store: Store, block: int) -> tuple[int, int]:
    """The row numbers [start, stop) of a block; the last one may be short."""
    num_rows = store[next(iter(store.pools))].shape[0]
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
    features = empty_features(store, record.block)
    start, stop = block_span(store, record.block)
    done = _positions(record, start)
    for pool, values in features.items():
        try:
            values[done] = np.asarray(store[pool][start:stop])[done]
        except (ValueError, OSError):  # the chunk's own checksum does not match, or it is cut short
            return None
        if checksum(values[done]) != record.checksums[pool]:
            return None
    return features


def checksum(values: npt.NDArray[Any]) -> str:
    """``sha256:…`` of the values' bytes, little-endian, in C order."""
    little_endian = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return f"sha256:{hashlib.sha256(little_endian.tobytes()).hexdigest()}"


def _positions(record: BlockRecord, start: int) -> npt.NDArray[np.int64]:
    return np.fromiter(from_ranges(record.done), dtype=np.int64) - start


def _check_finite(pool: str, values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise StoreError(
            f"row {rows[bad][0]} of pool {pool!r} is not finite as {values.dtype}: its values are beyond the range; "
            "use --dtype float32, or --precision fp32"
        )
