"""Squeeze and excite: channels are weighted by what the whole clip, or all of the video so far, shows."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fouls.pipeline.backbones.movinet.layers import Dense
from fouls.pipeline.backbones.movinet.streaming import RunningMean, running_means

Gate = Literal["hardsigmoid", "relu6"]
"""Of stream nets. ``hardsigmoid``, clip(0.2 x + 0.5), is that of the PyTorch port, with which its weights were
checked; ``relu6``, relu6(x + 3) / 6, that of the TensorFlow graph from which they were converted."""


def make_divisible(width: int, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, at least one, and not less than nine tenths of ``width``."""
    rounded = max(divisor, (width + divisor // 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def gate(x: Tensor, kind: Gate) -> Tensor:
    """The weights of channels, from 0 to 1."""
    return F.hardsigmoid(x) if kind == "relu6" else (0.2 * x + 0.5).clamp(0, 1)


class SqueezeExcite(nn.Module):
    """Of base nets: reads the mean over space and time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = make_divisible(width // 4)
        self.fc1 = Dense(width, squeezed, dims=3)
        self.fc2 = Dense(squeezed, width, dims=3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → the same, in place."""
        context = x.mean((2, 3, 4), dtype=torch.float32).to(x.dtype)  # (B, C)
        weights = torch.sigmoid(self.fc2(F.silu(self.fc1(context))))
        return x.mul_(weights[:, :, None, None, None])


class CausalSqueezeExcite(nn.Module):
    """Of stream nets: reads a frame's mean over space, and the mean of these over all frames up to it."""

    def __init__(self, width: int, gate: Gate) -> None:
        super().__init__()
        squeezed = make_divisible(width // 4 * 2)
        self.gate: Gate = gate
        self.fc1 = Dense(2 * width, squeezed, dims=2)
        self.fc2 = Dense(squeezed, width, dims=2)

    def forward(self, x: Tensor, past: RunningMean | None) -> tuple[Tensor, RunningMean]:
        """Go on with a video: (B, T, C, H, W) → the same, in place, and the mean for the frames after these."""
        here = x.mean((3, 4), dtype=torch.float32)  # (B, T, C)
        so_far, mean = running_means(here, past)
        context = torch.cat([so_far, here], dim=2).to(x.dtype)
        weights = gate(self.fc2(F.hardswish(self.fc1(context))), self.gate)
        return x.mul_(weights[..., None, None]), mean
