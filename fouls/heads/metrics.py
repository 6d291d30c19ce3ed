"""How good predictions are, and what chance would give."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from fouls.heads.losses import MISSING

TOP_K = 5

Scores = dict[str, Any]
"""Metric → value: JSON types."""


def score(probabilities: Tensor, labels: Tensor) -> Scores:
    """All metrics of one task; predictions without a label do not count.

    Args:
        probabilities: (N, classes)
        labels: (N,) int64, -1 where there is none.

    Returns:
        ``labelled``: how many count; ``accuracy``; ``top5_accuracy``, with more than 5 classes; ``balanced_accuracy``:
        mean recall of the classes that occur; ``macro_f1``: mean over the classes that occur or are predicted;
        ``confusion``: a row a label, a column a prediction; ``chance``: the accuracy of always naming the class that
        is most frequent here, and the balanced accuracy of any guess that does not look. They are ``None`` where
        nothing is labelled.
    """
    known = labels != MISSING
    probabilities, labels = probabilities[known].float().cpu(), labels[known].cpu()
    classes = probabilities.shape[1]
    if not len(labels):
        return {"labelled": 0, "accuracy": None, "balanced_accuracy": None, "macro_f1": None, "chance": None}
    predictions = probabilities.argmax(dim=1)
    confusion = confusion_matrix(predictions, labels, classes)
    support = confusion.sum(dim=1)
    scores: Scores = {"labelled": len(labels), "accuracy": float(confusion.diagonal().sum().double() / support.sum())}
    if classes > TOP_K:
        top = multiclass_accuracy(probabilities, labels, classes, average="micro", top_k=TOP_K)
        scores[f"top{TOP_K}_accuracy"] = float(top)
    scores |= {
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": float(multiclass_f1_score(predictions, labels, classes, average="macro")),
        "chance": {
            "accuracy": float(support.max().double() / support.sum()),
            "balanced_accuracy": 1 / int((support > 0).sum()),
        },
        "confusion": confusion.tolist(),
    }
    return scores


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts, (classes, classes) int64: a row a label, a column a prediction; from (N,) and (N,) class indices."""
    return multiclass_confusion_matrix(predictions, labels, num_classes, validate_args=False)


def balanced_accuracy(confusion: Tensor) -> float:
    """Mean recall over the classes that occur among the labels, as scikit-learn's ``balanced_accuracy_score``.

    ``torchmetrics``' own macro average also counts classes that are only predicted, with a recall of 0.

    Args:
        confusion: from :func:`confusion_matrix`, of one label at least.
    """
    support = confusion.sum(dim=1)
    occurs = support > 0
    return float((confusion.diagonal()[occurs].double() / support[occurs]).mean())
