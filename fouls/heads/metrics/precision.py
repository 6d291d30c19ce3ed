"""Precision, recall, F1 and average precision of single classes. What can't be had is NaN here, ``null`` in JSON."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Elementwise quotient, NaN where the denominator is 0."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    quotient: Floats = np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)
    return quotient


def f1(hits: npt.ArrayLike, predicted: npt.ArrayLike, support: npt.ArrayLike) -> Floats:
    """F1 = 2 TP / (2 TP + FP + FN) from counts: NaN where a class is neither predicted nor there.

    Args:
        hits: true positives.
        predicted: how often the class was predicted, TP + FP.
        support: how often it is there, TP + FN.
    """
    return ratio(2 * np.asarray(hits), np.asarray(predicted) + np.asarray(support))


def class_counts(
    truth: npt.NDArray[np.integer], prediction: npt.NDArray[np.integer], num_classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hits, predictions and support of each class, (classes,) each; from (N,) and (N,) class indices."""
    counts = [
        np.bincount(indices, minlength=num_classes) for indices in (truth[truth == prediction], prediction, truth)
    ]
    return counts[0], counts[1], counts[2]


def average_precision(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area under the precision-recall curve as scikit-learn's ``average_precision_score``: Σ (Rₙ − Rₙ₋₁) Pₙ.

    That is the mean, over the positives, of the precision at the threshold that just lets them in.

    Args:
        scores: (N,) the higher, the likelier.
        positive: (N,) bool.

    Returns:
        NaN where there are no positives.
    """
    everything = np.asarray(scores)
    found = np.sort(everything[np.asarray(positive, dtype=bool)])
    if not len(found):
        return float("nan")
    everything = np.sort(everything)
    hits = len(found) - np.searchsorted(found, found, side="left")
    predicted = len(everything) - np.searchsorted(everything, found, side="left")
    return float((hits / predicted).mean())


def mean_defined(values: npt.ArrayLike) -> float:
    """Mean over what is not NaN; NaN where that is nothing."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")


def to_json(values: Floats) -> list[float | None]:
    """A list in which ``None`` stands for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
