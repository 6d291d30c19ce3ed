"""Reading a pool of a store into memory: only the rows that are asked for, each checked to be finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.store import Store
from fouls.errors import ConfigError, StoreError

_SLAB_BYTES = 128 * 2**20
_ROWS_IN_CACHE = 64
_EXPONENT_BITS: dict[np.dtype[Any], tuple[type[np.unsignedinteger], int]] = {
    np.dtype(np.float16): (np.uint16, 0x7C00),
    np.dtype(np.float32): (np.uint32, 0x7F800000),
}


def choose_pool(store: Store, pool: str | None, *, preferred: Sequence[str] = (), tokens: bool = False) -> str:
    """The pool to read.

    Args:
        store: what there is.
        pool: the one that was asked for; ``None``: the only one that heads can read, or of several the first of
            ``preferred``, else the vector a clip that the backbones have by default: ``cls`` of MViT, ``mean`` of the
            others.
        preferred: what the head rather reads.
        tokens: the head can read ``tokens``.

    Raises:
        ConfigError: the store does not have it, heads can't read it, or several are there and none is the default.
    """
    if pool is not None:
        check_pool(store, pool, tokens=tokens)
        return pool
    readable = readable_pools(store, tokens=tokens)
    order = [*preferred, *(["cls", "mean"] if store.spec.backbone.startswith("mvit") else ["mean", "cls"])]
    candidates = readable if len(readable) == 1 else [name for name in order if name in readable]
    if candidates:
        return candidates[0]
    if not readable:
        check_pool(store, next(iter(store.pools)), tokens=tokens)
    raise ConfigError(f"{store.path} has several pools: choose one with --pool: {', '.join(readable)}")


def readable_pools(store: Store, *, tokens: bool = False) -> list[str]:
    """The pools that heads can read: with a vector a clip, ``temporal``, and for some heads ``tokens``."""
    named = ("temporal", "tokens") if tokens else ("temporal",)
    return [str(name) for name, shape in store.pools.items() if len(shape) == 1 or name in named]


def check_pool(store: Store, pool: str, *, tokens: bool = False) -> None:
    """Refuse a pool that heads can't read.

    Raises:
        ConfigError: so it is, or the store does not have it.
    """
    readable = readable_pools(store, tokens=tokens)
    if pool not in store.pools:
        raise ConfigError(f"pool {pool!r} is not in {store.path}; it has {', '.join(store.pools)}")
    if pool == "tokens" and pool not in readable:
        known = ", ".join(readable) or "none here: extract with --pool temporal"
        raise ConfigError(f"pool 'tokens' has steps in space, which this head does not read; readable: {known}")
    if pool not in readable:
        shape = " × ".join(map(str, store.pools[pool]))
        known = ", ".join(readable) or "none here: extract with --pool temporal"
        raise ConfigError(f"pool {pool!r} ({shape}) has no time axis that heads can read; readable: {known}")


def read_pool(
    store: Store, pool: str, rows: npt.NDArray[np.int64], video_ids: pa.ChunkedArray
) -> npt.NDArray[np.floating]:
    """Read rows of a pool into one new array.

    Args:
        store: where from.
        pool: a pool that :func:`check_pool` accepts.
        rows: (R,) row numbers in any order, none twice.
        video_ids: (R,) the video of each, for messages.

    Returns:
        (R, T', D) in the stored dtype; T' is 1 where the pool has a vector a clip.

    Raises:
        StoreError: a row is not finite.
    """
    array = store[pool]
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    shape = store.pools[pool]
    values = np.empty((len(rows), *shape), dtype=array.dtype)
    row_bytes = int(np.prod(shape)) * array.dtype.itemsize
    slab = max(1, _SLAB_BYTES // (row_bytes * store.block_rows)) * store.block_rows
    for start in range(0, int(array.shape[0]), slab):
        first, last = np.searchsorted(ascending, (start, start + slab))
        if first == last:
            continue
        low, high = int(ascending[first]), int(ascending[last - 1]) + 1
        block: npt.NDArray[np.floating] = np.asarray(array[low:high])
        wanted = block[_compact(ascending[first:last] - low)]
        finite = _finite_rows(wanted)
        if not finite.all():
            bad = int(order[first:last][np.flatnonzero(~finite)[0]])
            raise StoreError(
                f"row {rows[bad]} (video_id {video_ids[bad].as_py()!r}) of pool {pool!r} in {store.path} is said "
                f"to be done but is not finite: `fouls verify {store.path}`"
            )
        values[_compact(order[first:last])] = wanted
    return values if values.ndim == 3 else values[:, None, :]


def _compact(indices: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """Indices that count up by one as a slice, which copies nothing."""
    first = int(indices[0])
    return slice(first, first + len(indices)) if (np.diff(indices) == 1).all() else indices


def _finite_rows(values: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether all of a row is finite, (R,). By the exponent's bits: several times as fast as ``np.isfinite``."""
    integer, exponent = _EXPONENT_BITS[values.dtype]
    bits = values.reshape(len(values), -1).view(integer)
    finite = np.empty(len(values), dtype=bool)
    for start in range(0, len(values), _ROWS_IN_CACHE):
        some = slice(start, start + _ROWS_IN_CACHE)
        finite[some] = np.all((bits[some] & integer(exponent)) != exponent, axis=1)
    return finite
