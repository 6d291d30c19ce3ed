"""Padding and average pooling as TensorFlow's ``SAME`` does it: the odd pixel goes to the bottom and the right."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after a side of ``size`` pixels, so that ``ceil(size / stride)`` come out."""
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad the last two dimensions with zeros for a square kernel."""
    height, width = x.shape[-2:]
    padding = (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride))
    return F.pad(x, padding) if any(padding) else x


class AveragePoolSame(nn.Module):
    """Means over 3 × 3 pixels with stride 2 in the last two dimensions; padding is not counted."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, H, W) → (…, ⌈H / 2⌉, ⌈W / 2⌉)."""
        height, width = x.shape[-2:]
        # An odd side has a pixel of padding at both ends, an even one only after: the window that ``ceil_mode`` cuts.
        padding = (height % 2, width % 2)
        out = F.avg_pool2d(x.flatten(0, -3), 3, 2, padding, ceil_mode=True, count_include_pad=False)
        return out.view(*x.shape[:-2], *out.shape[-2:])
