"""The nets, up to frame features: a vector a frame, of which everything else is made.

Input is RGB from 0 to 1, (B, 3, T, H, W), of any length, height and width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fouls.errors import BackboneError
from fouls.pipeline.backbones.movinet.blocks import Block, CausalBlock
from fouls.pipeline.backbones.movinet.configs import HIDDEN_WIDTH, MoViNetConfig
from fouls.pipeline.backbones.movinet.layers import Conv3d, Dense, FrameConv
from fouls.pipeline.backbones.movinet.squeeze_excite import Gate
from fouls.pipeline.backbones.movinet.streaming import BlockState, StreamState, running_means


class Classifier(nn.Sequential):
    """From pooled features to classes."""

    def __init__(self, width: int, num_classes: int, dims: Literal[2, 3]) -> None:
        super().__init__(
            Dense(width, HIDDEN_WIDTH, dims), nn.SiLU(), nn.Dropout(0.2), Dense(HIDDEN_WIDTH, num_classes, dims)
        )
        self.num_classes = num_classes

    def hidden(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 2048), after the activation."""
        out: Tensor = self[1](self[0](pooled))
        return out


class MoViNet(nn.Module):
    """A base net: 3-D convolutions that look both ways in time."""

    def __init__(self, config: MoViNetConfig, num_classes: int = 600) -> None:
        super().__init__()
        *_, last = config.blocks()
        self.conv1 = Conv3d(3, config.stem_width, (1, 3, 3), stride=2, activation=nn.SiLU)
        self.blocks = nn.ModuleDict({block.name: Block(block) for block in config.blocks()})
        self.conv7 = Conv3d(last.out_width, config.head_width, activation=nn.SiLU)
        self.classifier: Classifier | None = Classifier(config.head_width, num_classes, dims=3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) → frame features (B, T, D) float32: the last convolution's means over space."""
        x = self.conv1(x)
        for block in self.blocks.values():
            x = block(x)
        x = self.conv7(x)
        return x.mean((3, 4), dtype=torch.float32).transpose(1, 2)


class StreamMoViNet(nn.Module):
    """A stream net: 2+1-D convolutions that look back only, over a video of any length in bounded memory."""

    def __init__(self, config: MoViNetConfig, num_classes: int = 600, *, gate: Gate = "hardsigmoid") -> None:
        super().__init__()
        *_, last = config.blocks()
        self.conv1 = FrameConv(3, config.stem_width, 3, stride=2, activation=nn.Hardswish)
        self.blocks = nn.ModuleDict({block.name: CausalBlock(block, gate) for block in config.blocks()})
        self.conv7 = FrameConv(last.out_width, config.head_width, activation=nn.Hardswish)
        self.classifier: Classifier | None = Classifier(config.head_width, num_classes, dims=2)

    def forward(self, x: Tensor) -> Tensor:
        """A whole video: (B, 3, T, H, W) → frame features (B, T, D) float32."""
        return self.stream(x, None)[0]

    def stream(self, x: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Go on with B videos at once. Cut into sub-clips of whatever lengths, a video gives what the whole gives.

        Args:
            x: (B, 3, T, H, W), the next frames, at least one.
            state: what the call for the frames before these returned; ``None`` at the start of a video.

        Returns:
            Frame features (B, T, D) float32, and the state after them.

        Raises:
            BackboneError: no frames, or the state is of videos of another number or size.
        """
        videos_shape = (x.shape[0], x.shape[3], x.shape[4])
        if x.shape[2] < 1:
            raise BackboneError(f"a sub-clip of the shape {tuple(x.shape)} has no frames; it must have 1 or more")
        if state is not None and state.videos_shape != videos_shape:
            raise BackboneError(
                f"the state is of videos of the shape (B, H, W) = {state.videos_shape}, the next frames of"
                f" {videos_shape}: a video begins with no state"
            )
        x = self.conv1(x.transpose(1, 2))
        states: list[BlockState] = []
        for position, block in enumerate(self.blocks.values()):
            x, kept = block(x, state.blocks[position] if state else None)
            states.append(kept)
        features = self.conv7(x).mean((3, 4), dtype=torch.float32)
        _, mean = running_means(features, state.mean if state else None)
        return features, StreamState(videos_shape=videos_shape, blocks=tuple(states), mean=mean)
