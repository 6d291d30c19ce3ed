"""torchvision's shifted windows of Video Swin with the parameters of the original, tile by tile on a CPU.

Nothing differs but rounding. The scores are never held as a whole, and what depends on the size of the input alone is
made once: the bias of every head, and which tokens of a window only the shift has brought together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fouls.pipeline.backbones.attention import tiled_attention

Size = tuple[int, int, int]
"""Steps in time, rows and columns of tokens."""
APART = -100.0
"""Added to the scores of tokens that don't belong together, as torchvision does."""


def tile(model: Any) -> None:
    """Put this module in the place of that of torchvision's ``SwinTransformer3d``; its state dict gets other names."""
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    for block in [module for module in model.modules() if hasattr(module, "attn")]:
        if isinstance(block.attn, ShiftedWindowAttention3d):
            block.attn = TiledWindowAttention(block.attn)


class TiledWindowAttention(nn.Module):
    """torchvision's ``ShiftedWindowAttention3d``."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.original = original
        self.biases: dict[Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H, W, C) → the same."""
        original, (batch, time, height, width, dim) = self.original, x.shape
        window, shift = fit((time, height, width), tuple(original.window_size), tuple(original.shift_size))
        after = [-whole % part for whole, part in zip((time, height, width), window, strict=True)]
        x = F.pad(x, (0, 0, 0, after[2], 0, after[1], 0, after[0]))
        x = torch.roll(x, [-by for by in shift], (1, 2, 3))
        padded = (time + after[0], height + after[1], width + after[2])
        windows = split(x, window)  # (B · windows, N, C)
        qkv = original.qkv(windows).view(*windows.shape[:2], 3, original.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B · windows, heads, N, D) each
        bias, masks = self.bias(window), shift_masks(padded, window, shift, x.dtype)

        def add_bias(scores: Tensor, of_windows: slice, of_heads: slice, of_rows: slice) -> None:
            scores.add_(bias[of_heads, of_rows])
            for number, one in enumerate(scores, of_windows.start):
                mask = masks[number % len(masks)]
                if mask is not None:
                    one.add_(mask[of_rows])

        scale = query.shape[-1] ** -0.5
        out = tiled_attention(query, key, value, scale=scale, add_bias=add_bias).transpose(1, 2).flatten(2)
        x = join(original.proj(out), (batch, *padded, dim), window)
        return torch.roll(x, shift, (1, 2, 3))[:, :time, :height, :width]

    def bias(self, window: Size) -> Tensor:
        """What is added to the scores by relative position: (heads, N, N)."""
        if window not in self.biases:
            self.biases[window] = self.original.get_relative_position_bias(list(window))[0]
        return self.biases[window]


def fit(size: Size, window: Size, shift: Size) -> tuple[Size, Size]:
    """A window no larger than the input, and no shift where one window holds all of it."""
    fitted = [(whole, 0) if whole <= part else (part, by) for whole, part, by in zip(size, window, shift, strict=True)]
    (time, height, width), (later, lower, right) = zip(*fitted, strict=True)
    return (time, height, width), (later, lower, right)


def split(x: Tensor, window: Size) -> Tensor:
    """(B, T, H, W, C) → (B · windows, N, C), N tokens a window."""
    for dim, part in zip((1, 3, 5), window, strict=True):
        x = x.unflatten(dim, (-1, part))  # type: ignore[no-untyped-call]
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, window[0] * window[1] * window[2], x.shape[-1])


def join(windows: Tensor, shape: tuple[int, ...], window: Size) -> Tensor:
    """The inverse of :func:`split`, for the shape that was split."""
    batch, *size, width = shape
    counts = [whole // part for whole, part in zip(size, window, strict=True)]
    return windows.view(batch, *counts, *window, width).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(shape)


@lru_cache(maxsize=16)
def shift_masks(size: Size, window: Size, shift: Size, dtype: torch.dtype) -> list[Tensor | None]:
    """What keeps tokens of a window apart that only the shift has brought together.

    Returns:
        (N, N) for each window of :func:`split`, or ``None`` where all belong together; equal ones are one tensor.
    """
    regions = torch.zeros(1, *size, 1)
    for dim, (whole, part, by) in enumerate(zip(size, window, shift, strict=True), 1):
        place = torch.arange(whole).view([-1 if axis == dim else 1 for axis in range(5)])
        if by:
            regions = 3 * regions + (place >= whole - part) + (place >= whole - by)  # the last window; what came round
    masks: dict[bytes, Tensor | None] = {}
    found = []
    for region in split(regions, window)[..., 0]:
        _, pattern = region.unique(return_inverse=True)
        key = pattern.numpy().tobytes()
        if key not in masks:
            apart = pattern[:, None] != pattern
            masks[key] = apart.to(dtype) * APART if apart.any() else None
        found.append(masks[key])
    return found
