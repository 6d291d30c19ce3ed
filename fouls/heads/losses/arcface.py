"""ArcFace: classes as directions, and a margin between them in angle. The true one, and the one published for MA-52."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.losses.examples import one_hot

_MIN_NORM = 1e-6


class CosineOutput(nn.Module):
    """s · cos θ_c, with θ_c the angle between the features and the weight of class c; both are normalised.

    Takes the place of the last linear layer where the loss is ``arcface`` or ``arcface_published``. With ``margin``
    it is the published variant: s · cos(θ_c + m) for *all* classes, in training and at test.
    """

    def __init__(self, dim: int, num_classes: int, *, scale: float, margin: float | None = None) -> None:
        """Make the weights.

        Args:
            dim: width of the features.
            num_classes: width of the output.
            scale: s
            margin: m in radians, of the published variant; ``None``: the true one, whose margin is in the loss.
        """
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(num_classes, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """From features (…, D) to logits (…, classes)."""
        features, weight = (F.normalize(each, dim=-1, eps=_MIN_NORM) for each in (x, self.weight))
        cosines = F.linear(features, weight)
        return self.scale * (cosines if self.margin is None else cosines_with_margin(cosines, self.margin))


def cosines_with_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(θ + m) = cos θ cos m − sin θ sin m, from cos θ of any shape, with finite gradients at cos θ = ±1.

    The slope of sin θ is infinite there; what it is multiplied with on the way to the features, sin θ, is 0. Where
    sin² θ is within rounding of 0, below or above, it counts as 0.
    """
    squared_sines = 1 - cosines.square()
    least = torch.finfo(cosines.dtype).eps
    sines = squared_sines.clamp(min=least).sqrt() * (squared_sines > least)
    return cosines * math.cos(margin) - sines * math.sin(margin)


def add_margin(logits: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """ArcFace's logits in training: s · cos(θ_y + m) for the label's class, s · cos θ_c for the others.

    Where θ_y > π − m, cos(θ_y + m) would grow again with θ_y; there it is cos θ_y − m sin m, as in the authors' code.
    Where the label is missing nothing changes. Source: Deng et al. 2019 (arXiv 1801.07698, equation 3).

    Args:
        logits: (N, classes), s · cos θ as :class:`CosineOutput` gives them.
        labels: (N,) int64, :data:`MISSING` where there is none.
        scale: s
        margin: m in radians, in [0, π/2].
    """
    is_label = one_hot(labels, logits.shape[1], torch.bool)
    cosines = logits.masked_fill(~is_label, 0.0).sum(dim=1, keepdim=True) / scale  # (N, 1): cos θ_y
    turns_back = cosines <= -math.cos(margin)  # cos θ_y ≤ cos(π − m)
    lowered = torch.where(turns_back, cosines - margin * math.sin(margin), cosines_with_margin(cosines, margin))
    return torch.where(is_label, scale * lowered, logits)
