"""A clip as text: ``f`` is a frame that the backbone sees, ``.`` one that it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fouls.cache.spec import SamplingKind, SamplingSpec
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.options import SamplingOptions
from fouls.pipeline.sampling import Clips, sample_clips, stream

FPS = 25
SHORTEST_VIDEO_SECONDS = 3


@dataclass(frozen=True, kw_only=True)
class ClipPicture:
    """The first clip that a sampling takes from a video of 25 frames a second."""

    sampling: SamplingKind
    is_default: bool
    num_frames: int
    """Frames a clip; of a stream, a sub-clip."""
    frame_stride: int | None
    picture: str
    """A character a frame of the video."""
    span_frames: int
    """Native frames from the clip's first to its last, both included."""
    span_seconds: float
    """For how long these frames are on the screen."""


def draw_clips(backbone: Backbone) -> list[ClipPicture]:
    """A clip of the default sampling, and one of ``center``, from a video that is long enough for both."""
    specs = [SamplingOptions().resolve(backbone), SamplingOptions(kind="center").resolve(backbone)]
    longest = max((spec.num_frames - 1) * (spec.frame_stride or 1) + 1 for spec in specs)
    num_frames = FPS * max(SHORTEST_VIDEO_SECONDS, math.ceil(longest / FPS))
    return [_draw(spec, num_frames, is_default=number == 0) for number, spec in enumerate(specs)]


def _draw(spec: SamplingSpec, num_frames: int, *, is_default: bool) -> ClipPicture:
    seen = set(_clips(spec, num_frames)[0].tolist())
    span = max(seen) - min(seen) + 1
    return ClipPicture(
        sampling=spec.kind,
        is_default=is_default,
        num_frames=spec.num_frames,
        frame_stride=spec.frame_stride,
        picture="".join("f" if frame in seen else "." for frame in range(num_frames)),
        span_frames=span,
        span_seconds=span / FPS,
    )


def _clips(spec: SamplingSpec, num_frames: int) -> Clips | list[Clips]:
    if spec.kind == "stream":
        return stream(num_frames, spec.num_frames, spec.frame_stride or 1)
    return sample_clips(num_frames, FPS, spec)
