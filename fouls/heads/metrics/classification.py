"""Samples (or frames) that carry one label each: how good the predictions are, and what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fouls.heads.losses import MISSING
from fouls.heads.metrics.calibration import brier_score, reliability
from fouls.heads.metrics.precision import Floats, average_precision, f1, mean_defined, ratio, to_json

TOP_K = (5,)

Scores = dict[str, Any]
"""Metric → value: JSON types."""

_NOTHING: Scores = {"labelled": 0} | dict.fromkeys(
    ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "mean_average_precision", "ece", "brier", "chance")
)


def score(probabilities: Tensor, labels: Tensor, top_k: Sequence[int] = TOP_K) -> Scores:
    """All metrics of one task; predictions without a label do not count.

    Args:
        probabilities: (N, classes)
        labels: (N,) int64, -1 where there is none.
        top_k: which top-k accuracies; only those with k < classes are given.

    Returns:
        ``labelled``: how many count; ``accuracy``; ``top5_accuracy``; ``balanced_accuracy``: mean recall of the
        classes that occur; ``macro_f1``: mean over the classes that occur or are predicted; ``micro_f1``, which is the
        accuracy where each sample has one label; ``mean_average_precision``: mean over the classes that occur, one
        class against the rest; ``ece``, ``brier``: see ``calibration``; ``chance``: the accuracy of always naming the
        class that is most frequent here, and the balanced accuracy of any guess that does not look; ``per_class``:
        lists of ``precision``, ``recall``, ``f1``, ``average_precision`` and ``support``, ``None`` where there is
        nothing to divide by; ``reliability``: the bins of ``ece``; ``confusion``: a row a label, a column a prediction.
        The numbers are ``None``, and the lists left out, where nothing is labelled.
    """
    known = labels != MISSING
    probabilities, labels = probabilities[known].float().cpu(), labels[known].cpu()
    classes = probabilities.shape[1]
    if not len(labels):
        return dict(_NOTHING)
    table, truth = probabilities.numpy(), labels.numpy()
    confusion = confusion_matrix(probabilities.argmax(dim=1), labels, classes)
    per_class = _per_class(table, truth, confusion.numpy())
    support = confusion.sum(dim=1)
    accuracy = float(confusion.diagonal().sum().double() / support.sum())
    calibration = reliability(table, truth)
    scores: Scores = {"labelled": len(labels), "accuracy": accuracy}
    scores |= {f"top{k}_accuracy": top_k_accuracy(table, truth, k) for k in top_k if k < classes}
    scores |= {
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "micro_f1": accuracy,
        "mean_average_precision": mean_defined(per_class["average_precision"]),
        "ece": calibration.expected_error,
        "brier": brier_score(table, truth),
        "chance": {
            "accuracy": float(support.max().double() / support.sum()),
            "balanced_accuracy": 1 / int((support > 0).sum()),
        },
        "per_class": {name: to_json(values) for name, values in per_class.items()} | {"support": support.tolist()},
        "reliability": calibration.to_json(),
        "confusion": confusion.tolist(),
    }
    return scores


def _per_class(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], confusion: npt.NDArray[np.int64]
) -> dict[str, Floats]:
    hits, predicted, support = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    precisions = [average_precision(scores, labels == index) for index, scores in enumerate(probabilities.T)]
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": f1(hits, predicted, support),
        "average_precision": np.array(precisions),
    }


def top_k_accuracy(probabilities: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> float:
    """Share of samples whose class is among the k most probable; of equally probable classes the first come first.

    Args:
        probabilities: (N, classes), N ≥ 1.
        labels: (N,) class indices.
        k: from 1 to classes.
    """
    table, truth = np.asarray(probabilities), np.asarray(labels)[:, None]
    of_truth = np.take_along_axis(table, truth, axis=1)
    ahead = (table > of_truth) | ((table == of_truth) & (np.arange(table.shape[1]) < truth))
    return float((ahead.sum(axis=1) < k).mean())


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts, (classes, classes) int64: a row a label, a column a prediction; from (N,) and (N,) class indices."""
    pairs = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def balanced_accuracy(confusion: npt.ArrayLike) -> Floats:
    """Mean recall over the classes that occur among the labels, as scikit-learn's ``balanced_accuracy_score``.

    Args:
        confusion: (…, classes, classes) from :func:`confusion_matrix`, each of one label at least.

    Returns:
        (…)
    """
    counts = np.asarray(confusion)
    mean: Floats = np.nanmean(ratio(counts.diagonal(axis1=-2, axis2=-1), counts.sum(axis=-1)), axis=-1)
    return mean


def macro_f1(confusion: npt.ArrayLike) -> Floats:
    """Mean F1 over the classes that occur or are predicted, as scikit-learn's ``f1_score``.

    Args:
        confusion: see :func:`balanced_accuracy`.

    Returns:
        (…)
    """
    counts = np.asarray(confusion)
    of_classes = f1(counts.diagonal(axis1=-2, axis2=-1), counts.sum(axis=-2), counts.sum(axis=-1))
    mean: Floats = np.nanmean(of_classes, axis=-1)
    return mean
