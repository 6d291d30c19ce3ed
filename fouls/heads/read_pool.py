"""Reading a pool of a store: only the rows that are asked for, each checked to be what was written, and finite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.blocks import finite_rows
from fouls.cache.store import Store
from fouls.errors import DamagedStoreError, StoreError, first_line
from fouls.heads.chunk_files import ChunkFiles
from fouls.heads.memory import allocate

Indices = npt.NDArray[np.int64]

_MAX_THREADS = 8
_SHARE_BYTES = 6 << 20
"""What a thread takes at once, rounded to blocks: many huge pages, since two threads that come to the same new one both
clear it; little enough that it still lies in the cache that cores share when it is looked at."""
_INFINITIES: dict[np.dtype[Any], tuple[type[np.signedinteger], int, type[np.unsignedinteger], int]] = {
    np.dtype(np.float16): (np.int16, 0x7C00, np.uint16, 0xFC00),
    np.dtype(np.float32): (np.int32, 0x7F800000, np.uint32, 0xFF800000),
}
"""Signed integers of the same size with the bits of +∞, unsigned ones with those of −∞."""


def read_pool(
    store: Store, pool: str, rows: Indices, video_ids: pa.ChunkedArray, *, memory_bytes: int | None = None
) -> npt.NDArray[np.floating]:
    """Read rows of a pool into one new array, in a few threads.

    Args:
        store: where from.
        pool: a pool that :func:`fouls.heads.pool.check_pool` accepts.
        rows: (R,) row numbers in any order, none twice.
        video_ids: (R,) the video of each, for messages.
        memory_bytes: see :func:`fouls.heads.memory.allocate`.

    Returns:
        (R, T', D) in the stored dtype; T' is 1 where the pool has a vector a clip.

    Raises:
        DamagedStoreError: a chunk is not what was written.
        StoreError: a row is not finite.
        RunError: neither memory nor disk holds the rows.
    """
    values = allocate((len(rows), *store.pools[pool]), store.spec.stored_dtype, memory_bytes=memory_bytes)
    order = np.argsort(rows, kind="stable")
    blocks, firsts = np.unique(rows[order] // store.block_rows, return_index=True)
    parts = np.stack([blocks, firsts, np.append(firsts[1:], len(rows))], axis=1)  # (blocks, 3)
    block_bytes = store.block_rows * values[:1].nbytes
    shares = np.array_split(parts, -(-len(parts) // max(1, _SHARE_BYTES // block_bytes)))
    reader = _Reader(
        store=store,
        pool=pool,
        files=ChunkFiles.of(store, pool),
        values=values,
        rows=rows,
        order=order,
        runs=np.cumsum(np.diff(order, prepend=order[0]) != 1),
    )
    num_others = min(_MAX_THREADS, os.cpu_count() or 1, len(shares)) - 1
    todo = iter(shares)
    with ThreadPoolExecutor(max(1, num_others)) as threads:
        others = [threads.submit(reader.read, todo) for _ in range(num_others)]
        mine = reader.read(todo)  # a thread that only waits would take turns with another on its core
        not_finite = np.concatenate([mine, *(other.result() for other in others)])
    if len(not_finite):
        place = int(not_finite[np.argmin(rows[not_finite])])
        raise StoreError(
            f"row {rows[place]} (video_id {video_ids[place].as_py()!r}) of pool {pool!r} in {store.path} is said to be "
            f"done but is not finite: `fouls verify {store.path}`"
        )
    return values if values.ndim == 3 else values[:, None, :]


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads blocks; used by several threads at once."""

    store: Store
    pool: str
    files: ChunkFiles | None
    values: npt.NDArray[np.floating]
    """(R, …), what is filled."""
    rows: Indices
    """(R,)"""
    order: Indices
    """(R,) what sorts the rows."""
    runs: Indices
    """(R,) in that order: the same number where places count up by one."""

    def read(self, shares: Iterator[Indices]) -> Indices:
        """Fill in the rows of some blocks.

        Args:
            shares: shared with other threads; (n, 3) each: block, and where its rows start and stop in the order.

        Returns:
            The places of the rows that are not finite, or not there.
        """
        found = [np.empty(0, dtype=np.int64)]
        chunk = None
        for share in shares:
            for block, start, stop in share.tolist():
                target = self._places(start, stop)
                if self.files is not None and isinstance(target, slice) and stop - start == self.store.block_rows:
                    there = self.files.read(block, self.values[target])  # a whole chunk, straight into its place
                else:
                    chunk, there = self._chunk(block, chunk)
                    if there:
                        self.values[target] = chunk[self._rows_of_block(block, start, stop)]
                if not there:
                    found.append(self.order[start:stop])
            first, last = int(share[0, 1]), int(share[-1, 2])
            values = self.values[self._places(first, last)]
            if not all_finite(values):  # of all blocks at once: a call a block costs more than the cache gives
                found.append(self.order[first:last][~finite_rows(values)])
        return np.concatenate(found)

    def _places(self, start: int, stop: int) -> slice | Indices:
        """Where rows belong, of which the order is given; as a slice, which copies nothing, where they lie together."""
        if self.runs[start] == self.runs[stop - 1]:
            first = int(self.order[start])
            return slice(first, first + stop - start)
        return self.order[start:stop]

    def _rows_of_block(self, block: int, start: int, stop: int) -> slice | Indices:
        """Where rows lie in their block; ascending, none twice."""
        rows = self.rows[self.order[start:stop]] - block * self.store.block_rows
        return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == stop - start - 1 else rows

    def _chunk(self, block: int, chunk: npt.NDArray[Any] | None) -> tuple[npt.NDArray[Any], bool]:
        """A block's chunk, in the memory of another one where there is one; and whether it is there."""
        if self.files is not None:
            chunk = np.empty(self.files.chunk_shape, self.files.dtype) if chunk is None else chunk
            return chunk, self.files.read(block, chunk)
        start = block * self.store.block_rows
        try:
            return np.asarray(self.store[self.pool][start : start + self.store.block_rows]), True
        except (ValueError, OSError, RuntimeError) as error:
            raise DamagedStoreError(
                f"block {block} of pool {self.pool!r} in {self.store.path} can't be read ({first_line(error)}): "
                f"`fouls verify {self.store.path}` tells more"
            ) from error


def all_finite(values: npt.NDArray[np.floating]) -> bool:
    """Whether all values are finite, several times as fast as ``np.isfinite`` says it.

    By two maxima of the bits: read as integers, +∞ and NaN are the largest of the positive numbers, −∞ and NaN with a
    sign are the largest of all.

    Args:
        values: float16 or float32, at least one.
    """
    signed, infinity, unsigned, minus_infinity = _INFINITIES[values.dtype]
    return bool(values.view(signed).max() < infinity and values.view(unsigned).max() < minus_infinity)
