"""Smoothness in time: what it costs when the output changes from one step to the next.

Both are means over the pairs of neighbouring steps that are there and over the classes; 0 where there is no pair.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Smoothness = Literal["none", "l1", "truncated_mse"]

DEFAULT_WEIGHTS: dict[Smoothness, float] = {"none": 0.0, "l1": 5e-4, "truncated_mse": 0.15}
"""Kind → the weight with which it was published."""


def l1(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean of |z_{t,c} − z_{t−1,c}|, a scalar. Source: the mouse TCN, with weight 5e-4.

    Args:
        logits: (B, V, T, classes)
        mask: (B, V, T), false where there is no step.
    """
    logits = logits.masked_fill(~mask[..., None], 0.0)
    return _mean_of_pairs((logits[..., 1:, :] - logits[..., :-1, :]).abs(), mask)


def truncated_mse(logits: Tensor, mask: Tensor, tau: float = 4.0) -> Tensor:
    """Mean of min(Δ², τ²) with Δ = log p_{t,c} − log p_{t−1,c}, a scalar. The gradient goes to step t alone.

    Source: Abu Farha and Gall 2019, MS-TCN (arXiv 1903.01945, section 3.3), with weight 0.15. Their program
    divides by the padded length; here the mean is over the pairs that are there.

    Args:
        logits: (B, V, T, classes)
        mask: (B, V, T), false where there is no step.
        tau: τ
    """
    log_p = logits.masked_fill(~mask[..., None], 0.0).log_softmax(dim=-1)
    change = log_p[..., 1:, :] - log_p[..., :-1, :].detach()
    return _mean_of_pairs(change.square().clamp(max=tau**2), mask)


def smoothness(kind: Smoothness, logits: Tensor, mask: Tensor) -> Tensor:
    """The loss of a kind, without its weight.

    Args:
        kind: which; ``none`` costs 0.
        logits: (B, V, T, classes)
        mask: (B, V, T), false where there is no step.
    """
    match kind:
        case "none":
            return logits.new_zeros(())
        case "l1":
            return l1(logits, mask)
        case "truncated_mse":
            return truncated_mse(logits, mask)


def _mean_of_pairs(costs: Tensor, mask: Tensor) -> Tensor:
    """Mean of costs (…, T − 1, classes) over the classes, and over the pairs of steps that are both there."""
    pairs = mask[..., 1:] & mask[..., :-1]
    return (costs.mean(dim=-1) * pairs).sum() / pairs.sum().clamp(min=1)
