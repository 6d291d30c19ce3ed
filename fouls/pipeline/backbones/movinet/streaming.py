"""What a stream net remembers of a video: values, passed in and handed back; the net itself holds nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RunningMean:
    """The mean over the frames that have been seen."""

    total: Tensor
    """(B, C) float32: their sum."""
    num_frames: int

    @property
    def value(self) -> Tensor:
        """(B, C) float32."""
        return self.total / self.num_frames


@dataclass(frozen=True, kw_only=True)
class BlockState:
    """What one block remembers."""

    frames: Tensor | None
    """(B, steps − 1, C, H, W): the last frames before the convolution in time; ``None`` where there is none."""
    mean: RunningMean
    """Of squeeze and excite."""


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """What the net remembers after some frames of B videos; ``None`` stands for a video that has not begun."""

    videos_shape: tuple[int, int, int]
    """B, height and width of the input."""
    blocks: tuple[BlockState, ...]
    mean: RunningMean
    """Of the frame features: ``mean.value`` are the pooled features of what has been seen."""

    @property
    def num_frames(self) -> int:
        """How many frames have been seen."""
        return self.mean.num_frames


def running_means(values: Tensor, past: RunningMean | None) -> tuple[Tensor, RunningMean]:
    """For each frame the mean of it and of all before it.

    Args:
        values: (B, T, C) float32: in less, sums over a long video would stand still.
        past: of the frames before these; ``None`` before the first.

    Returns:
        (B, T, C), and the mean for the frames after these.
    """
    totals, before = values.cumsum(1), 0
    if past is not None:
        totals, before = totals + past.total.unsqueeze(1), past.num_frames
    counts = torch.arange(before + 1, before + values.shape[1] + 1, device=values.device, dtype=values.dtype)
    mean = RunningMean(total=totals[:, -1].clone(), num_frames=before + values.shape[1])
    return totals / counts.unsqueeze(1), mean
