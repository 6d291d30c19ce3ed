"""The measure of the Micro-Action Challenge on MA-52 (https://arxiv.org/abs/2403.05234)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError
from fouls.heads.metrics.precision import class_counts, f1, mean_defined
from fouls.manifests.builders.ma52 import FINE_TO_COARSE


def ma52_scores(fine_truth: npt.ArrayLike, fine_prediction: npt.ArrayLike) -> dict[str, float]:
    """``F1_mean`` and the four values that it is the mean of, from 0 to 1, as scikit-learn's ``f1_score`` gives them.

    Args:
        fine_truth: (N,) fine classes, 0 … 51; -1: no label, which does not count.
        fine_prediction: (N,) fine classes. The coarse ones of both follow from the fine ones.

    Returns:
        ``F1_mean``, ``fine_macro_f1``, ``fine_micro_f1``, ``coarse_macro_f1``, ``coarse_micro_f1``. A macro F1 is the
        mean over the classes that occur or are predicted.

    Raises:
        ConfigError: the shapes don't fit, no labels, or a class that MA-52 does not have.
    """
    truth, prediction = np.asarray(fine_truth), np.asarray(fine_prediction)
    if truth.shape != prediction.shape or truth.ndim != 1:
        raise ConfigError(
            f"labels of shape {truth.shape} and predictions of shape {prediction.shape}: give one of each"
        )
    truth, prediction = truth[truth != -1], prediction[truth != -1]
    if not len(truth):
        raise ConfigError("no labels: there is nothing to measure")
    for classes in (truth, prediction):
        if classes.min() < 0 or classes.max() >= len(FINE_TO_COARSE):
            wrong = classes[(classes < 0) | (classes >= len(FINE_TO_COARSE))][0]
            raise ConfigError(f"class {wrong}: MA-52 has the classes 0 to {len(FINE_TO_COARSE) - 1}")
    coarse = np.array(FINE_TO_COARSE)
    fine_macro, fine_micro = _macro_and_micro_f1(truth, prediction)
    coarse_macro, coarse_micro = _macro_and_micro_f1(coarse[truth], coarse[prediction])
    return {
        "F1_mean": (fine_macro + fine_micro + coarse_macro + coarse_micro) / 4,
        "fine_macro_f1": fine_macro,
        "fine_micro_f1": fine_micro,
        "coarse_macro_f1": coarse_macro,
        "coarse_micro_f1": coarse_micro,
    }


def _macro_and_micro_f1(truth: npt.NDArray[np.int64], prediction: npt.NDArray[np.int64]) -> tuple[float, float]:
    hits, predicted, support = class_counts(truth, prediction, len(FINE_TO_COARSE))
    return mean_defined(f1(hits, predicted, support)), float(f1(hits.sum(), predicted.sum(), support.sum()))
