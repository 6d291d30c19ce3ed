"""The inverted bottleneck: expand → depthwise → squeeze and excite → project, added to what came in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fouls.pipeline.backbones.movinet import configs
from fouls.pipeline.backbones.movinet.layers import CausalConv, Conv3d, FrameConv
from fouls.pipeline.backbones.movinet.padding import AveragePoolSame
from fouls.pipeline.backbones.movinet.squeeze_excite import CausalSqueezeExcite, Gate, SqueezeExcite
from fouls.pipeline.backbones.movinet.streaming import BlockState


class Block(nn.Module):
    """Of base nets."""

    def __init__(self, block: configs.Block) -> None:
        super().__init__()
        width = block.expanded_width
        self.expand = Conv3d(block.in_width, width, activation=nn.SiLU)
        self.deep = Conv3d(width, width, block.kernel, stride=block.stride, groups=width, activation=nn.SiLU)
        self.se = SqueezeExcite(width)
        self.project = Conv3d(width, block.out_width)
        self.res = _shortcut(block, Conv3d)
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, T, H, W) → (B, out, T, H', W')."""
        new: Tensor = self.project(self.se(self.deep(self.expand(x))))
        return torch.addcmul(self.res(x), new, self.alpha)


class CausalBlock(nn.Module):
    """Of stream nets."""

    def __init__(self, block: configs.Block, gate: Gate) -> None:
        super().__init__()
        width = block.expanded_width
        self.expand = FrameConv(block.in_width, width, activation=nn.Hardswish)
        self.deep = CausalConv(width, block.kernel, stride=block.stride)
        self.se = CausalSqueezeExcite(width, gate)
        self.project = FrameConv(width, block.out_width)
        self.res = _shortcut(block, FrameConv)
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, past: BlockState | None) -> tuple[Tensor, BlockState]:
        """Go on with a video: (B, T, in, H, W) → (B, T, out, H', W'), and the state for the frames after these."""
        deep, frames = self.deep(self.expand(x), past.frames if past else None)
        weighted, mean = self.se(deep, past.mean if past else None)
        out = torch.addcmul(self.res(x), self.project(weighted), self.alpha)
        return out, BlockState(frames=frames, mean=mean)


def _shortcut(block: configs.Block, convolution: type[Conv3d] | type[FrameConv]) -> nn.Module:
    """What came in, brought to the size and width of what goes out."""
    if block.stride > 1:
        return nn.Sequential(AveragePoolSame(), convolution(block.in_width, block.out_width))
    if block.in_width != block.out_width:
        return nn.Sequential(convolution(block.in_width, block.out_width))
    return nn.Identity()
