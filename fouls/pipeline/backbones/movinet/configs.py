"""The tables of blocks, A0 to A5, as the published weights have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

STAGE_STRIDES = (2, 2, 2, 1, 2)
"""In space, of the first block of each stage; nothing strides in time."""
HIDDEN_WIDTH = 2048
"""Of the layer between the pooled features and the classes."""
STREAM_SIZES = ("a0", "a1", "a2")
"""The larger stream nets add positional encodings, and nobody has published PyTorch weights of them."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One inverted bottleneck."""

    name: str
    """``b<stage>_l<block>``, as in state dicts."""
    in_width: int
    expanded_width: int
    out_width: int
    kernel: tuple[int, int, int]
    """Time, height, width of the depthwise convolution."""
    stride: int
    """In space."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of one width; the first may stride."""

    width: int
    kernels: str
    """A block each: time, height, width, a digit each."""
    expanded: tuple[int, ...]
    """A block each: channels of the depthwise convolution."""

    def __post_init__(self) -> None:
        if len(self.kernels.split()) != len(self.expanded):
            raise ValueError(f"{len(self.kernels.split())} kernels for {len(self.expanded)} blocks")


@dataclass(frozen=True, kw_only=True)
class MoViNetConfig:
    """One size of the family."""

    num_frames: int
    """Frames a clip in training; the net takes any number."""
    size: int
    """Pixels of height and width in training; the net takes any."""
    stem_width: int
    stages: tuple[Stage, ...]
    head_width: int
    """Of the pooled features."""

    def blocks(self) -> Iterator[Block]:
        """All blocks in their order."""
        width = self.stem_width
        for number, (stage, stride) in enumerate(zip(self.stages, STAGE_STRIDES, strict=True)):
            for position, (kernel, expanded) in enumerate(zip(stage.kernels.split(), stage.expanded, strict=True)):
                time, height, across = map(int, kernel)
                yield Block(
                    name=f"b{number}_l{position}",
                    in_width=width,
                    expanded_width=expanded,
                    out_width=stage.width,
                    kernel=(time, height, across),
                    stride=stride if position == 0 else 1,
                )
                width = stage.width


CONFIGS = {
    "a0": MoViNetConfig(
        num_frames=50,
        size=172,
        stem_width=8,
        stages=(
            Stage(width=8, kernels="155", expanded=(24,)),
            Stage(width=32, kernels="333 333 333", expanded=(80, 80, 80)),
            Stage(width=56, kernels="533 333 333", expanded=(184, 112, 184)),
            Stage(width=56, kernels="533 333 333 333", expanded=(184, 184, 184, 184)),
            Stage(width=104, kernels="533 155 155 155", expanded=(384, 280, 280, 344)),
        ),
        head_width=480,
    ),
    "a1": MoViNetConfig(
        num_frames=50,
        size=172,
        stem_width=16,
        stages=(
            Stage(width=16, kernels="155 333", expanded=(40, 40)),
            Stage(width=40, kernels="333 333 333 333", expanded=(96, 120, 96, 96)),
            Stage(width=64, kernels="533 333 333 333 333", expanded=(216, 128, 216, 168, 216)),
            Stage(width=64, kernels="533 333 333 333 155 333", expanded=(216, 216, 216, 128, 128, 216)),
            Stage(width=136, kernels="533 155 155 155 155 333 133", expanded=(456, 360, 360, 360, 456, 456, 544)),
        ),
        head_width=600,
    ),
    "a2": MoViNetConfig(
        num_frames=50,
        size=224,
        stem_width=16,
        stages=(
            Stage(width=16, kernels="155 333 333", expanded=(40, 40, 64)),
            Stage(width=40, kernels="333 333 333 333 333", expanded=(96, 120, 96, 96, 120)),
            Stage(width=72, kernels="533 333 333 333 333", expanded=(240, 160, 240, 192, 240)),
            Stage(width=72, kernels="533 333 333 333 155 333", expanded=(240, 240, 240, 240, 144, 240)),
            Stage(width=144, kernels="533 155 155 155 155 333 133", expanded=(480, 384, 384, 480, 480, 480, 576)),
        ),
        head_width=640,
    ),
    "a3": MoViNetConfig(
        num_frames=120,
        size=256,
        stem_width=16,
        stages=(
            Stage(width=16, kernels="155 333 333 333", expanded=(40, 40, 64, 40)),
            Stage(width=48, kernels="333 333 333 155 333 333", expanded=(112, 144, 112, 112, 144, 144)),
            Stage(width=80, kernels="533 333 333 333 333", expanded=(240, 152, 240, 192, 240)),
            Stage(
                width=88, kernels="533 333 333 333 155 333 333 333", expanded=(264, 264, 264, 264, 160, 264, 264, 264)
            ),
            Stage(
                width=168,
                kernels="533 155 155 155 155 333 155 155 333 133",
                expanded=(560, 448, 448, 560, 560, 560, 448, 448, 560, 672),
            ),
        ),
        head_width=744,
    ),
    "a4": MoViNetConfig(
        num_frames=80,
        size=290,
        stem_width=24,
        stages=(
            Stage(width=24, kernels="155 333 333 333 333 333", expanded=(64, 64, 96, 64, 96, 64)),
            Stage(
                width=56,
                kernels="333 333 333 333 333 333 333 155 333",
                expanded=(168, 168, 136, 136, 168, 168, 168, 136, 136),
            ),
            Stage(
                width=96,
                kernels="533 333 333 333 333 333 333 333 333",
                expanded=(320, 160, 320, 192, 320, 160, 320, 256, 320),
            ),
            Stage(
                width=96,
                kernels="533 333 333 333 155 333 333 333 333 333",
                expanded=(320, 320, 320, 320, 192, 320, 320, 192, 320, 320),
            ),
            Stage(
                width=192,
                kernels="533 155 155 155 155 333 155 155 155 155 155 333 333",
                expanded=(640, 512, 512, 640, 640, 640, 512, 512, 640, 768, 640, 640, 768),
            ),
        ),
        head_width=856,
    ),
    "a5": MoViNetConfig(
        num_frames=120,
        size=320,
        stem_width=24,
        stages=(
            Stage(width=24, kernels="155 155 333 333 333 333", expanded=(64, 64, 96, 64, 96, 64)),
            Stage(
                width=64,
                kernels="533 333 333 333 333 333 333 333 333 333 333",
                expanded=(192, 152, 152, 152, 192, 192, 192, 152, 152, 192, 192),
            ),
            Stage(
                width=112,
                kernels="533 333 333 333 333 333 333 333 333 333 333 333 333",
                expanded=(376, 224, 376, 376, 296, 376, 224, 376, 376, 296, 376, 376, 376),
            ),
            Stage(
                width=120,
                kernels="533 333 333 333 155 333 333 333 333 333 333",
                expanded=(376, 376, 376, 376, 224, 376, 376, 224, 376, 376, 376),
            ),
            Stage(
                width=224,
                kernels="533 333 155 155 155 155 333 155 155 155 155 155 333 155 155 155 155 333",
                expanded=(744, 744, 600, 600, 744, 744, 744, 896, 600, 600, 896, 744, 744, 896, 600, 600, 744, 744),
            ),
        ),
        head_width=992,
    ),
}
"""Name of the size → its table."""
