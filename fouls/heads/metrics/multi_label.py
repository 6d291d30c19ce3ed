"""Samples that may carry several labels at once, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fouls.heads.metrics.precision import average_precision, f1, mean_defined, ratio, to_json


def score_multi_label(probabilities: npt.ArrayLike, targets: npt.ArrayLike, threshold: float = 0.5) -> dict[str, Any]:
    """All metrics of one task whose classes do not exclude each other.

    Args:
        probabilities: (N, classes), each class on its own.
        targets: (N, classes) bool.
        threshold: a class counts as predicted from this probability on.

    Returns:
        ``labelled``: N; ``mean_average_precision``: mean of the average precision of the classes that occur;
        ``macro_f1``: mean F1 of the classes that occur or are predicted; ``micro_f1``: F1 of all decisions pooled;
        ``per_class``: lists of ``precision``, ``recall``, ``f1``, ``average_precision``, ``support``. ``None`` stands
        where there is nothing to divide by.
    """
    table, truth = np.asarray(probabilities), np.asarray(targets, dtype=bool)
    decided = table >= threshold
    hits, predicted, support = ((array).sum(axis=0) for array in (decided & truth, decided, truth))
    f1_scores = f1(hits, predicted, support)
    precisions = np.array([average_precision(*columns) for columns in zip(table.T, truth.T, strict=True)])
    means = [mean_defined(precisions), mean_defined(f1_scores), float(f1(hits.sum(), predicted.sum(), support.sum()))]
    mean_average_precision, macro, micro = to_json(np.array(means))
    return {
        "labelled": len(truth),
        "mean_average_precision": mean_average_precision,
        "macro_f1": macro,
        "micro_f1": micro,
        "per_class": {
            "precision": to_json(ratio(hits, predicted)),
            "recall": to_json(ratio(hits, support)),
            "f1": to_json(f1_scores),
            "average_precision": to_json(precisions),
            "support": support.tolist(),
        },
    }
