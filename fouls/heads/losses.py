"""Cross-entropy under missing labels, with class weights that are read off the train split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fouls.heads.head import check_choice, check_range

MISSING = -1
"""A label that is not there."""

ClassWeights = Literal["none", "balanced", "inverse", "sqrt_inverse"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How a task's logits and labels become a loss; the losses of the tasks are added."""

    class_weights: ClassWeights = "balanced"
    """See :func:`class_weights`."""
    max_class_weight: float = 10.0
    """No class weighs more."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""

    def __post_init__(self) -> None:
        check_choice("class weights", self.class_weights, ClassWeights)
        check_range("label smoothing", self.label_smoothing, 0, 1, open_end=True)
        check_range("max class weight", self.max_class_weight, 1, 1e6)


def class_weights(counts: Tensor, kind: ClassWeights, cap: float) -> Tensor:
    """What an example of each class weighs in the loss.

    With n_c examples of class c, n in all, and C classes that have any:

    - ``none``: 1
    - ``balanced``: n / (C n_c), as scikit-learn's ``compute_class_weight``: the mean over the examples is 1
    - ``inverse``: 1 / n_c, scaled so that the mean over the classes is 1
    - ``sqrt_inverse``: 1 / √n_c, scaled likewise

    No weight exceeds ``cap``. A class without examples weighs 0: nothing can be learned of it.

    Args:
        counts: (classes,) examples of each class.
        kind: which.
        cap: the greatest weight.

    Returns:
        (classes,) float32.
    """
    counts = counts.double()
    present = counts > 0
    if kind == "none":
        return present.float()
    if kind == "balanced":
        weights = counts.sum() / (present.sum() * counts)
    else:
        weights = 1 / (counts if kind == "inverse" else counts.sqrt())
        weights = weights / weights[present].mean()
    return torch.where(present, weights, 0.0).clamp(max=cap).float()


def masked_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """Weighted mean of the cross-entropy over the labels that are there; 0 where none is.

    Args:
        logits: (N, classes)
        labels: (N,) int64, :data:`MISSING` where there is none.
        weights: (classes,), see :func:`class_weights`.
        label_smoothing: share of the target that is spread over all classes, as in ``torch``'s loss.

    Returns:
        A scalar: Σ loss / Σ weight of the labels' classes.
    """
    total = F.cross_entropy(
        logits, labels, weights, ignore_index=MISSING, label_smoothing=label_smoothing, reduction="sum"
    )
    weight = (weights[labels.clamp(min=0)] * (labels != MISSING)).sum()
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
