"""Convolutions with batch norm, in the two forms of the family.

Base nets convolve in space and time at once; their features are (B, C, T, H, W). Stream nets are 2+1-D: each frame is
convolved alone, then time; their features are (B, T, C, H, W), so that frames fold into the batch for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fouls.pipeline.backbones.movinet.padding import pad_same

NORM_EPS = 1e-3


class Dense(nn.Module):
    """A fully connected layer, which state dicts keep as a convolution of kernel 1."""

    def __init__(self, in_width: int, out_width: int, dims: Literal[2, 3]) -> None:
        super().__init__()
        convolution = nn.Conv3d(in_width, out_width, 1) if dims == 3 else nn.Conv2d(in_width, out_width, 1)
        self.conv_1 = nn.Sequential(OrderedDict({f"conv{dims}d": convolution}))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        weight, bias = self.conv_1.parameters()
        return F.linear(x, weight.flatten(1), bias)


class Conv3d(nn.Module):
    """Convolution in space and time with ``SAME`` padding, batch norm, activation."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        *,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.SiLU] | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        space = kernel[2] // 2 if stride == 1 else 0  # with a stride the padding depends on the input's size
        convolution = nn.Conv3d(
            in_width,
            out_width,
            kernel,
            stride=(1, stride, stride),
            padding=(kernel[0] // 2, space, space),
            groups=groups,
            bias=False,
        )
        self.conv_1 = nn.Sequential(OrderedDict(conv3d=convolution, norm=nn.BatchNorm3d(out_width, eps=NORM_EPS)))
        self.activation = activation(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, T, H, W) → (B, out, T, ⌈H / stride⌉, ⌈W / stride⌉)."""
        if self.stride > 1:
            x = pad_same(x, self.kernel[2], self.stride)
        out: Tensor = self.activation(self.conv_1(x))
        return out


class _OverSpace(nn.Module):
    """Convolution of each frame with ``SAME`` padding, batch norm, activation."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Hardswish] | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        space = kernel // 2 if stride == 1 else 0  # with a stride the padding depends on the input's size
        convolution = nn.Conv2d(in_width, out_width, kernel, stride=stride, padding=space, groups=groups, bias=False)
        self.conv_1 = nn.Sequential(OrderedDict(conv2d=convolution, norm=nn.BatchNorm2d(out_width, eps=NORM_EPS)))
        self.activation = activation(inplace=True) if activation else nn.Identity()

    def over_space(self, x: Tensor) -> Tensor:
        """(B, T, in, H, W) → (B, T, out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        frames = x.flatten(0, 1)
        if self.stride > 1:
            frames = pad_same(frames, self.kernel, self.stride)
        out: Tensor = self.activation(self.conv_1(frames))
        return out.reshape(*x.shape[:2], *out.shape[1:])


class FrameConv(_OverSpace):
    """Convolution of each frame."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in, H, W) → (B, T, out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        return self.over_space(x)


class CausalConv(_OverSpace):
    """Depthwise convolution of each frame, and of what comes out with the frames before it."""

    def __init__(self, width: int, kernel: tuple[int, int, int], *, stride: int) -> None:
        super().__init__(width, width, kernel[2], stride=stride, groups=width, activation=nn.Hardswish)
        self.steps = kernel[0]
        if self.steps > 1:
            over_time = nn.Conv2d(width, width, (self.steps, 1), groups=width, bias=False)
            self.conv_2 = nn.Sequential(OrderedDict(conv2d=over_time, norm=nn.BatchNorm2d(width, eps=NORM_EPS)))

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Go on with a video.

        Args:
            x: (B, T, C, H, W), the next frames.
            past: (B, steps − 1, C, H', W'), the last frames after the convolution in space; ``None`` before the first.

        Returns:
            (B, T, C, H', W'), and the past of the frames after these; ``None`` where time is not convolved.
        """
        x = self.over_space(x)
        if self.steps == 1:
            return x, None
        if past is None:
            past = x.new_zeros((x.shape[0], self.steps - 1, *x.shape[2:]))
        frames = torch.cat([past, x], dim=1)
        convolution, norm = self.conv_2
        out: Tensor = norm(_over_time(frames, cast(Tensor, convolution.weight)).flatten(0, 1))
        kept = frames[:, x.shape[1] :].clone()  # a view would keep all the frames in memory
        return F.hardswish(out, inplace=True).reshape(x.shape), kept


def _over_time(frames: Tensor, weight: Tensor) -> Tensor:
    """Convolve each channel with its weight, (C, 1, steps, 1): (B, T + steps − 1, C, H, W) → (B, T, C, H, W).

    As frames lie in memory, a weighted sum of them is faster than a convolution with a kernel of (steps, 1).
    """
    taps = weight[:, 0, :].movedim(1, 0).unsqueeze(-1)  # (steps, C, 1, 1)
    num_frames = frames.shape[1] - len(taps) + 1
    out = frames[:, :num_frames] * taps[0]
    for step, tap in enumerate(taps[1:], start=1):
        out.addcmul_(frames[:, step : step + num_frames], tap)
    return out
