"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fouls.heads.metrics.precision import Floats, ratio, to_json

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The top probabilities, sorted into bins of equal width: bin m of M is ((m − 1) / M, m / M]."""

    counts: npt.NDArray[np.int64]
    """(M,) how many predictions fall into each."""
    confidence: Floats
    """(M,) their mean top probability, NaN in an empty bin."""
    accuracy: Floats
    """(M,) the share of them that is right, NaN in an empty bin."""

    @property
    def expected_error(self) -> float:
        """Expected calibration error: Σ nₘ / n · |accuracyₘ − confidenceₘ| (Guo et al. 2017, equation 3)."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.counts * gaps).sum() / self.counts.sum())

    def to_json(self) -> dict[str, Any]:
        """The bins as JSON types, ``None`` in empty ones."""
        return {
            "count": self.counts.tolist(),
            "confidence": to_json(self.confidence),
            "accuracy": to_json(self.accuracy),
        }


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, num_bins: int = NUM_BINS) -> Reliability:
    """Sort predictions into bins by their top probability.

    Args:
        probabilities: (N, classes), N ≥ 1.
        labels: (N,) class indices.
        num_bins: M.
    """
    table, truth = np.asarray(probabilities), np.asarray(labels)
    top = table.max(axis=1).astype(np.float64)
    right = table.argmax(axis=1) == truth
    bins = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], top, side="left")
    counts = np.bincount(bins, minlength=num_bins)
    return Reliability(
        counts=counts,
        confidence=ratio(np.bincount(bins, weights=top, minlength=num_bins), counts),
        accuracy=ratio(np.bincount(bins, weights=right, minlength=num_bins), counts),
    )


def expected_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, num_bins: int = NUM_BINS) -> float:
    """See :attr:`Reliability.expected_error`; the arguments are those of :func:`reliability`."""
    return reliability(probabilities, labels, num_bins).expected_error


def brier_score(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean squared distance from the truth, Σ_c (p_c − [c is right])², from 0 to 2 (Brier 1950, equation 2).

    Args:
        probabilities: (N, classes), N ≥ 1.
        labels: (N,) class indices.
    """
    table, truth = np.asarray(probabilities), np.asarray(labels)
    of_truth = np.take_along_axis(table, truth[:, None], axis=1).sum(dtype=np.float64)
    squares = np.einsum("nc,nc->", table, table, dtype=np.float64)
    return float((squares - 2 * of_truth) / len(truth) + 1)
