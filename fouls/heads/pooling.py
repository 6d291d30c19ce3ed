"""Masked reductions: time steps to one vector a track, tracks to one vector a sample.

What stands where a mask is false never changes a result, not even NaN.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.masking import zero_padding

TimePooling = Literal["mean", "std", "mean_std", "max"]
ViewPooling = Literal["mean", "max", "attention"]

_MIN_VARIANCE = 1e-12


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the second last axis, where the mask is true.

    Args:
        x: (…, T, D)
        mask: (…, T), true somewhere in every row.

    Returns:
        (…, D)
    """
    return zero_padding(x, mask).sum(dim=-2) / mask.sum(dim=-1, keepdim=True).clamp(min=1)


def masked_std(x: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation (of the population) over the second last axis, (…, D); 0 for a single step."""
    variance = masked_mean((x - masked_mean(x, mask)[..., None, :]).square(), mask)
    return variance.clamp(min=_MIN_VARIANCE).sqrt() * (variance > _MIN_VARIANCE)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Maximum over the second last axis, (…, D)."""
    return x.masked_fill(~mask[..., None], -torch.inf).amax(dim=-2)


def pool_time(x: Tensor, mask: Tensor, kind: TimePooling) -> Tensor:
    """Time steps (…, T, D) to one vector (…, D), or (…, 2 D) for ``mean_std``: the mean, then the spread in time."""
    match kind:
        case "mean":
            return masked_mean(x, mask)
        case "std":
            return masked_std(x, mask)
        case "mean_std":
            return torch.cat([masked_mean(x, mask), masked_std(x, mask)], dim=-1)
        case "max":
            return masked_max(x, mask)


def pooled_width(dim: int, kind: TimePooling) -> int:
    """The width that :func:`pool_time` makes of D."""
    return 2 * dim if kind == "mean_std" else dim


class AttentionPool(nn.Module):
    """The attention of Ilse et al. 2018 (arXiv 1802.04712, equation 8): weights softmax(wᵀ tanh(V h) / τ)."""

    def __init__(self, dim: int, *, temperature: float = 1.0) -> None:
        """Make the layers.

        Args:
            dim: width of the features.
            temperature: τ; the lower, the more the highest score takes.
        """
        super().__init__()
        hidden = max(16, min(128, dim // 4))
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.temperature = temperature

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From x (…, N, D) and mask (…, N), true somewhere, to the weighted sum (…, D) and its weights (…, N)."""
        x = zero_padding(x, mask)
        scores = self.score(x)[..., 0] / self.temperature
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)  # (…, N)
        return (weights[..., None] * x).sum(dim=-2), weights


class ViewPool(nn.Module):
    """The tracks of a sample to one vector: ``mean``, ``max``, or ``attention`` (:class:`AttentionPool`)."""

    def __init__(self, dim: int, kind: ViewPooling) -> None:
        super().__init__()
        self.kind = kind
        self.attention = AttentionPool(dim) if kind == "attention" else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (B, V, H) and mask (B, V) to (B, H)."""
        if self.attention is None:
            return masked_mean(x, mask) if self.kind == "mean" else masked_max(x, mask)
        pooled: Tensor = self.attention(x, mask)[0]
        return pooled


def average_probabilities(logits: Tensor, mask: Tensor, *, multi_label: bool = False) -> Tensor:
    """Logits whose probabilities are the mean of those of the tracks.

    Softmax leaves a constant open: it is the mean over tracks of log Σ exp, so that a single track keeps its logits.

    Args:
        logits: (B, V, classes), finite.
        mask: (B, V), true somewhere in every row.
        multi_label: probabilities are sigmoids, of each class by itself.

    Returns:
        (B, classes)
    """
    gone, log_count = ~mask[..., None], mask.sum(dim=1, keepdim=True).log()

    def log_mean(log_probabilities: Tensor) -> Tensor:
        return log_probabilities.masked_fill(gone, -torch.inf).logsumexp(dim=1) - log_count

    if multi_label:
        return log_mean(F.logsigmoid(logits)) - log_mean(F.logsigmoid(-logits))
    total = logits.logsumexp(dim=-1, keepdim=True)  # (B, V, 1)
    return log_mean(logits - total) + masked_mean(total, mask)
