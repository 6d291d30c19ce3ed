"""What every loss of single examples has in common: labels as targets, and weighted means."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MISSING = -1
"""A label that is not there."""


class WeightedLosses(NamedTuple):
    """The losses of N examples; :func:`weighted_mean` makes one number of them."""

    losses: Tensor
    """(N,): each times its weight; 0 where the label is missing."""
    weights: Tensor
    """(N,): that of the label's class; 0 where the label is missing."""


def weighted_mean(examples: WeightedLosses, shares: Tensor | None = None) -> Tensor:
    """Σ share · loss / Σ share · weight, a scalar; 0 where nothing has weight.

    Args:
        examples: the losses.
        shares: (N,) how much of each example counts; ``None``: all of it.
    """
    losses, weights = examples
    if shares is not None:
        losses, weights = losses * shares, weights * shares
    total = weights.sum()
    return losses.sum() / total.clamp(min=torch.finfo(total.dtype).tiny)


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Labels (N,) as (N, classes) with a 1 in the label's column; a row of 0 where it is missing."""
    return (labels[:, None] == torch.arange(num_classes, device=labels.device)).to(dtype)


def smooth(targets: Tensor, label_smoothing: float) -> Tensor:
    """(1 − s) · target + s / C: targets (N, classes) with a share s spread over all C classes.

    Source: Szegedy et al. 2016 (arXiv 1512.00567, section 7).
    """
    return targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]


def without_missing(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (N, …) with 0 where the label is missing, so that not even NaN there reaches a loss or gradient."""
    return logits.masked_fill((labels == MISSING).reshape(-1, *[1] * (logits.ndim - 1)), 0.0)


def mix_labels(logits: Tensor, labels: Tensor, partner_labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Examples that have two labels, as twice as many that have one.

    A loss of the result is λ · L(a) + (1 − λ) · L(b) with each label's weight, for batch losses too: every logit stands
    in it twice, once with either label. Source: Zhang et al. 2018, mixup (arXiv 1710.09412).

    Args:
        logits: (N, …), what is answered.
        labels: (N,) one's own, ``a``.
        partner_labels: (N,) the partner's, ``b``.
        shares: (N,) λ, the share of one's own.

    Returns:
        logits (2 N, …), labels (2 N,) and shares (2 N,).
    """
    return (
        torch.cat([logits, logits]),
        torch.cat([labels, partner_labels]),
        torch.cat([shares, 1 - shares]).to(logits.dtype),
    )


def label_steps(
    logits: Tensor, mask: Tensor, labels: Tensor, shares: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs at every step, each with the label of its sample: what assisting outputs are trained on.

    Args:
        logits: (B, N, classes)
        mask: (B, N), false where there is no step.
        labels: (B,), or (B, classes) of a task with any number of labels.
        shares: (B,) how much of each sample counts; ``None``: all of it.

    Returns:
        logits (B · N, classes), labels (B · N,) or (B · N, classes), missing where there is no step, and shares
        (B · N,) or ``None``.
    """
    of_steps = labels[:, None].expand(*mask.shape, *labels.shape[1:])
    gone = ~mask if labels.ndim == 1 else ~mask[..., None]
    if shares is not None:
        shares = shares[:, None].expand(mask.shape).flatten()
    return logits.flatten(0, 1), of_steps.masked_fill(gone, MISSING).flatten(0, 1), shares
