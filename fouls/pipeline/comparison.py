"""Two extractions of the same rows, compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fouls.cache.spec import Precision

TOLERANCE: dict[Precision, float] = {"fp32": 2e-3, "fp16": 5e-3, "bf16": 2e-2}
"""Precision of the backbone → the largest difference, by the row's largest magnitude, that rounding explains: that of
a float16 on the disk, and what another device, batch or version of a library changes in a sum. Measured by
``benchmarks/recompute.py``, with room above: deeper nets add more up."""


@dataclass(frozen=True, kw_only=True)
class PoolComparison:
    """One pool's features in the store and as they were extracted again."""

    cosine: float
    """The lowest cosine similarity of a row with itself."""
    difference: float
    """The largest absolute difference of any value."""
    relative_difference: float
    """The largest difference by the largest magnitude of its row: what decides."""
    differing: tuple[int, ...]
    """The rows of which that is above the tolerance."""


def compare(
    stored: npt.NDArray[np.floating], again: npt.NDArray[np.floating], rows: npt.NDArray[np.int64], tolerance: float
) -> PoolComparison:
    """Compare features row by row.

    Args:
        stored: (R, …), as the store has them, finite.
        again: (R, …), as they were extracted again.
        rows: (R,) their row numbers.
        tolerance: of the largest difference by the row's largest magnitude.
    """
    one = stored.reshape(len(rows), -1).astype(np.float64)
    two = again.reshape(len(rows), -1).astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    same = (one == two).all(axis=1)
    cosines = np.divide((one * two).sum(axis=1), lengths, out=same.astype(np.float64), where=lengths > 0)
    differences = np.abs(one - two).max(axis=1)
    magnitudes = np.maximum(np.abs(one).max(axis=1), np.abs(two).max(axis=1))
    relative = np.divide(differences, magnitudes, out=np.zeros_like(differences), where=magnitudes != 0)
    return PoolComparison(
        cosine=float(cosines.min()),
        difference=float(differences.max()),
        relative_difference=float(relative.max()),
        differing=tuple(rows[~(relative <= tolerance)].tolist()),
    )
