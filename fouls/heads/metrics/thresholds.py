"""A threshold for each class, searched on one split and applied to another: rare classes get a chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError
from fouls.heads.metrics.precision import Floats, f1

THRESHOLDS = np.linspace(0.1, 0.9, 17)
DEFAULT_THRESHOLD = 0.5
"""Of a class for which no threshold finds anything."""


def search_thresholds(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """For each class the threshold of 0.1, 0.15, … 0.9 with the best F1 of that class against the rest.

    A class counts as found where its probability reaches the threshold. Of several best thresholds the lowest is taken.

    Args:
        probabilities: (N, C)
        labels: (N,) class indices, -1 where there is none.

    Returns:
        (C,) thresholds; 0.5 for a class without examples, or one that no threshold finds.

    Raises:
        ConfigError: the shapes don't fit.
    """
    table, truth = _check(probabilities, labels)
    table, truth = table[truth >= 0], truth[truth >= 0]
    belongs = truth[:, None] == np.arange(table.shape[1])  # (N, C)
    support = belongs.sum(axis=0)
    scores = np.empty((len(THRESHOLDS), table.shape[1]))
    for row, threshold in zip(scores, THRESHOLDS, strict=True):
        found = table >= threshold
        row[:] = np.nan_to_num(f1((found & belongs).sum(axis=0), found.sum(axis=0), support))
    return np.where(scores.max(axis=0) > 0, THRESHOLDS[scores.argmax(axis=0)], DEFAULT_THRESHOLD)


def apply_thresholds(probabilities: npt.ArrayLike, thresholds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The most probable of the classes that reach their threshold; of all classes, where none does.

    Args:
        probabilities: (N, C)
        thresholds: (C,)

    Returns:
        (N,) class indices.

    Raises:
        ConfigError: the shapes don't fit.
    """
    table, limits = np.asarray(probabilities, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    if table.ndim != 2 or limits.shape != table.shape[1:]:
        raise ConfigError(f"probabilities of shape {table.shape} need thresholds of one class each, not {limits.shape}")
    passes = table >= limits
    candidates = passes | ~passes.any(axis=1, keepdims=True)
    classes: npt.NDArray[np.int64] = np.where(candidates, table, -np.inf).argmax(axis=1)
    return classes


def _check(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    table, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or truth.shape != table.shape[:1]:
        raise ConfigError(
            f"probabilities of shape {table.shape} need one label a row, not labels of shape {truth.shape}"
        )
    return table, truth
