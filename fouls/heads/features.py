"""Features from one store or several: rows that belong together side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.errors import ConfigError
from fouls.heads.memory import allocate, is_mapped

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Features:
    """R rows."""

    values: npt.NDArray[np.floating]
    """(R, T', D)"""
    rows: pa.Table
    """(R,), with the columns of a store's row index."""
    widths: tuple[int, ...]
    """D of each store; they add up to D."""

    @property
    def mapped_bytes(self) -> int:
        """What lies in a temporary file, as memory does not hold it; 0 where it does."""
        return self.values.nbytes if is_mapped(self.values) else 0


def matching(keys: Sequence[pa.Table]) -> list[Indices]:
    """Which rows of several tables belong together, in the order of the first.

    Args:
        keys: tables with ``video``, ``clip``, ``crop`` and ``augment``, all integers; each combination at most once.

    Returns:
        (rows,) positions in each table.
    """
    if len(keys) == 1:
        return [np.arange(keys[0].num_rows)]
    names = ("video", "clip", "crop", "augment")
    columns = {name: [table[name].to_numpy().astype(np.int64) for table in keys] for name in names}
    codes = [np.zeros(table.num_rows, dtype=np.int64) for table in keys]
    for name in names:
        count = 1 + max(int(column.max(initial=0)) for column in columns[name])
        codes = [code * count + column for code, column in zip(codes, columns[name], strict=True)]
    common = codes[0]
    for other in codes[1:]:
        common = common[np.isin(common, other)]
    found = []
    for code in codes:
        order = np.argsort(code)
        found.append(order[np.searchsorted(code[order], common)])
    return found


def side_by_side(
    parts: Sequence[npt.NDArray[np.floating]], names: Sequence[str], *, memory_bytes: int | None = None
) -> npt.NDArray[np.floating]:
    """Concatenate the features of several stores; a vector a clip is repeated for each time step of the others.

    Args:
        parts: (R, T'_i, D_i) each.
        names: of the stores, for messages.
        memory_bytes: see :func:`fouls.heads.memory.allocate`.

    Returns:
        (R, T', Σ D_i), the only part itself.

    Raises:
        ConfigError: the stores have different numbers of time steps.
    """
    if len(parts) == 1:
        return parts[0]
    steps = max(part.shape[1] for part in parts)
    for part, name in zip(parts, names, strict=True):
        if part.shape[1] not in (1, steps):
            raise ConfigError(
                f"the pool of {name} has {part.shape[1]} time steps a clip, that of another store {steps}: take pools "
                "with as many, or with a vector a clip (--pool mean, once a store)"
            )
    width = sum(part.shape[2] for part in parts)
    dtype = np.result_type(*parts)
    values = allocate((len(parts[0]), steps, width), dtype, memory_bytes=memory_bytes)
    repeated = [np.broadcast_to(part, (len(part), steps, part.shape[2])) for part in parts]
    return np.concatenate(repeated, axis=2, out=values)
