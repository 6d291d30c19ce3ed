"""Soft F1: the F1 scores of a batch, with probabilities in the place of counts."""

from __future__ import annotations

from torch import Tensor

from fouls.heads.losses.examples import MISSING, one_hot, without_missing

_EPSILON = 1e-7


def soft_f1(logits: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
    """(1 − macro F1) + (1 − micro F1) of a batch, a scalar from 0 to 2; 0 where no label is there.

    With p the softmax and y the labels: tp_c = Σ p_c y_c, fp_c = Σ p_c (1 − y_c), fn_c = Σ (1 − p_c) y_c, and
    F1 = 2 tp / (2 tp + fp + fn + ε), ε = 1e-7. Macro is the mean over all classes, in which one that the batch lacks
    counts as 0; micro takes the sums over the classes. Source: the loss of the solution that won MAC 2024 (MA-52).

    It is a loss of a batch, not a mean of examples': small batches of many classes say little. Class weights and
    label smoothing do not apply.

    Args:
        logits: (N, classes)
        labels: (N,) int64, :data:`MISSING` where there is none.
        shares: (N,) how much of each example counts; ``None``: all of it.
    """
    counted = (labels != MISSING).to(logits.dtype)  # (N,)
    if shares is not None:
        counted = counted * shares
    p = without_missing(logits, labels).softmax(dim=1)
    y = one_hot(labels, logits.shape[1], logits.dtype)
    true_positives = (p * y * counted[:, None]).sum(dim=0)  # (classes,)
    positives = (p * counted[:, None]).sum(dim=0)  # tp + fp
    labelled = (y * counted[:, None]).sum(dim=0)  # tp + fn
    macro = (2 * true_positives / (positives + labelled + _EPSILON)).mean()
    micro = 2 * true_positives.sum() / (positives.sum() + labelled.sum() + _EPSILON)
    return ((1 - macro) + (1 - micro)) * (counted.sum() > 0)
