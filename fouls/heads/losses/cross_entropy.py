"""Losses on a softmax: cross-entropy, focal, and the adjustment of logits by the classes' frequency."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fouls.heads.losses.examples import WeightedLosses, one_hot, smooth, weighted_mean, without_missing


class ClassTargets(NamedTuple):
    """What cross-entropy takes an example of each class for. :data:`MISSING`, -1, finds the last row, which is 0."""

    costs: Tensor
    """(classes + 1, classes): w_c t_c; 0 where the example's class weighs 0."""
    weights: Tensor
    """(classes + 1,): w_y."""


def class_targets(weights: Tensor, label_smoothing: float = 0.0) -> ClassTargets:
    """The targets of the classes, to be made once.

    Args:
        weights: w, (classes,), see :func:`fouls.heads.losses.class_weights`.
        label_smoothing: share of the target t that is spread over all classes, see
            :func:`fouls.heads.losses.examples.smooth`.
    """
    one_each = torch.eye(len(weights), dtype=weights.dtype, device=weights.device)
    costs = smooth(one_each, label_smoothing) * weights * (weights > 0)[:, None]
    return ClassTargets(torch.cat([costs, torch.zeros_like(costs[:1])]), torch.cat([weights, weights.new_zeros(1)]))


def cross_entropy(logits: Tensor, labels: Tensor, targets: ClassTargets) -> WeightedLosses:
    """Cross-entropy with class weights: −Σ_c w_c t_c log p_c, weight w_y.

    t is the smoothed target and p the softmax, as in torch's ``CrossEntropyLoss``. A label whose class weighs 0 counts
    as missing.

    Args:
        logits: (N, classes), or (N, classes, K) of K models that answer for the same labels; their losses are (N, K).
        labels: (N,) int64, :data:`MISSING` where there is none.
        targets: of the classes.
    """
    costs = targets.costs[labels]  # (N, classes)
    log_p = without_missing(logits, labels).log_softmax(dim=1)
    losses = -(log_p * (costs if logits.ndim == 2 else costs[:, :, None])).sum(dim=1)
    return WeightedLosses(losses, targets.weights[labels])


def focal(logits: Tensor, labels: Tensor, targets: ClassTargets, gamma: float) -> WeightedLosses:
    """Focal loss: (1 − p_y)^γ times the cross-entropy, weight w_y. With γ = 0 it is the cross-entropy.

    p_y is the softmax probability of the label, without class weight and without smoothing. (A p_y that is read off
    the weighted loss, exp(−w_y · −log p_y), is no probability.) Source: Lin et al. 2017 (arXiv 1708.02002, equation 5).

    Args:
        logits: (N, classes)
        labels: (N,) int64, :data:`MISSING` where there is none.
        targets: of the classes.
        gamma: γ ≥ 0; the greater, the less count examples that are classified well.
    """
    losses, of_labels = cross_entropy(logits, labels, targets)
    log_p = without_missing(logits, labels).log_softmax(dim=1)
    log_p_label = (log_p * one_hot(labels, logits.shape[1], logits.dtype)).sum(dim=1)  # (N,)
    # 1 − p, exact for p near 1; kept off 0, where a power below 1 has no gradient.
    others = (-torch.expm1(log_p_label)).clamp(min=torch.finfo(logits.dtype).eps)
    return WeightedLosses(losses * others**gamma, of_labels)


def adjust_logits(logits: Tensor, counts: Tensor, tau: float) -> Tensor:
    """z_c + τ log π_c with π_c = n_c / n: what the loss sees in training; predictions are read off z.

    A class without examples counts as if it had one. Source: Menon et al. 2021 (arXiv 2007.07314, equation 10).

    Args:
        logits: (N, classes)
        counts: (classes,) examples of each class in the train split.
        tau: τ; 1 makes the predictions those that are best for the balanced accuracy, 0 changes nothing.
    """
    priors = counts.to(logits.dtype).clamp(min=1)
    return logits + tau * (priors / priors.sum()).log()


def masked_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """Weighted mean of the cross-entropy over the labels that are there; 0 where none is.

    Args:
        logits: (N, classes)
        labels: (N,) int64, :data:`MISSING` where there is none.
        weights: (classes,), see :func:`fouls.heads.losses.class_weights`.
        label_smoothing: share of the target that is spread over all classes, as in ``torch``'s loss.

    Returns:
        A scalar: Σ loss / Σ weight of the labels' classes.
    """
    return weighted_mean(cross_entropy(logits, labels, class_targets(weights.to(logits.dtype), label_smoothing)))
