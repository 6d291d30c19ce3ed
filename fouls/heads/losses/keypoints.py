"""The loss of keypoints that are regressed beside the tasks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def keypoint_loss(predicted: Tensor, truth: Tensor, visible: Tensor, beta: float = 1.0) -> Tensor:
    """Smooth L1, the mean over the coordinates of the visible keypoints, a scalar; 0 where none is visible.

    With d = |predicted − truth|: d² / 2β where d < β, else d − β / 2. Source: Girshick 2015, Fast R-CNN
    (arXiv 1504.08083, equation 3); β as in torch's ``SmoothL1Loss``.

    Args:
        predicted: (…, K, 2)
        truth: (…, K, 2); what stands where a keypoint is not visible is arbitrary.
        visible: (…, K)
        beta: where the square ends; coordinates that are shares of width and height never pass 1.
    """
    hidden = ~visible[..., None]
    predicted, truth = predicted.masked_fill(hidden, 0.0), truth.masked_fill(hidden, 0.0)
    total = F.smooth_l1_loss(predicted, truth, beta=beta, reduction="sum")
    return total / (visible.sum() * predicted.shape[-1]).clamp(min=1)
