"""Augmented passes: a random box of the frame, a mirror, other frames; the same ones whoever draws, and whenever.

What is drawn depends on the seed, the video's content, the clip and the pass, and on nothing else: not on row numbers,
batches, workers or the order of the work. The recipe is written down in ``docs/augmentation.md``.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fouls.cache.spec import AugmentationSpec, SamplingSpec, Spec
from fouls.pipeline.sampling import window

BOX_TRIES = 10
"""Boxes that are drawn until one fits into the frame, as in torchvision's ``RandomResizedCrop``."""

Draws = npt.NDArray[np.float64]
"""Evenly distributed in [0, 1)."""


@dataclass(frozen=True, kw_only=True)
class ClipKey:
    """What an augmented clip is drawn from, with the seed."""

    content: str
    """SHA-256 of the video file; its video_id, where that is not known."""
    segment: tuple[int | None, int | None]
    """The manifest's; ``None``: as far as the video goes."""
    clip: int
    augment: int
    """The pass, from 1 on."""


class Box(NamedTuple):
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


def draw(seed: int, key: ClipKey, purpose: Literal["space", "time"], count: int) -> Draws:
    """The first ``count`` numbers of a clip's stream for a purpose.

    SHAKE-256 (FIPS 202) of ``seed/content/start/stop/clip/augment/purpose`` is read as little-endian 64-bit
    numbers; the upper 53 bits of each are a fraction.
    """
    start, stop = ("" if edge is None else edge for edge in key.segment)
    text = f"{seed}/{key.content}/{start}/{stop}/{key.clip}/{key.augment}/{purpose}"
    numbers = np.frombuffer(hashlib.shake_256(text.encode()).digest(8 * count), dtype="<u8")
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def random_view(height: int, width: int, spec: AugmentationSpec, key: ClipKey) -> tuple[Box, bool]:
    """The part of its frames that a clip shows, and whether it is mirrored.

    A box of random area and aspect, at a random place, as torchvision's ``RandomResizedCrop`` chooses it; where none of
    ten fits into the frame, the largest one around the centre of the nearest aspect that is allowed.

    Args:
        height: of the frames, pixels.
        width: of the frames, pixels.
        spec: what may be drawn.
        key: of the clip.
    """
    flip, y, x, *tries = draw(spec.seed, key, "space", 3 + 2 * BOX_TRIES).tolist()
    mirrored = flip < spec.flip
    smallest, largest = spec.scale
    low, high = (math.log(bound) for bound in spec.ratio)
    for area_draw, ratio_draw in zip(tries[::2], tries[1::2], strict=True):
        area = height * width * (smallest + area_draw * (largest - smallest))
        ratio = math.exp(low + ratio_draw * (high - low))
        box_height, box_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top, left = int(y * (height - box_height + 1)), int(x * (width - box_width + 1))
            return Box(top, left, box_height, box_width), mirrored
    ratio = min(max(width / height, spec.ratio[0]), spec.ratio[1])
    box_height, box_width = min(height, round(width / ratio)), min(width, round(height * ratio))
    box_height, box_width = max(1, box_height), max(1, box_width)
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width), mirrored


def jitter_clip(
    plain: npt.NDArray[np.int64], num_frames: int, fps: float, spec: Spec, key: ClipKey
) -> npt.NDArray[np.int64]:
    """The frames of an augmented clip, (T,).

    ``segments``: the video is divided into T parts of equal length, and each gives one of its frames (the sampling of
    Temporal Segment Networks, Wang et al. 2016). ``shift``: the clip, or the window, begins up to ``max_shift`` frames
    earlier or later, as far as the video goes, every beginning being equally likely.

    Args:
        plain: frames of the clip in the plain pass, (T,).
        num_frames: of the video, or of the segment that counts as one.
        fps: native frames a second.
        spec: how ``plain`` was sampled, and what may be drawn.
        key: of the clip.
    """
    augmentation = spec.augmentation
    if augmentation is None or augmentation.jitter == "none":
        return plain
    if augmentation.jitter == "segments":
        return _frame_of_each_segment(num_frames, draw(augmentation.seed, key, "time", len(plain)))
    (place,) = draw(augmentation.seed, key, "time", 1).tolist()
    return _shifted(plain, num_frames, fps, spec.sampling, max_shift=augmentation.max_shift or 0, place=place)


def _frame_of_each_segment(num_frames: int, places: Draws) -> npt.NDArray[np.int64]:
    count = len(places)
    frames: npt.NDArray[np.int64] = ((np.arange(count) + places) * num_frames / count).astype(np.int64)
    return np.minimum(frames, num_frames - 1)


def _shifted(
    plain: npt.NDArray[np.int64], num_frames: int, fps: float, sampling: SamplingSpec, *, max_shift: int, place: float
) -> npt.NDArray[np.int64]:
    """The clip from one of the beginnings that are allowed; ``place`` in [0, 1) says which."""
    steps = np.arange(len(plain), dtype=np.int64) * (sampling.frame_stride or 1)
    start, length = int(plain[0]), int(steps[-1]) + 1
    if sampling.window_start is not None and sampling.window_stop is not None:
        start, length = sampling.window_start, sampling.window_stop - sampling.window_start
    first = max(0, start - max_shift)
    last = min(start + max_shift, max(start, num_frames - length))
    begin = first + int(place * (last - first + 1))
    if sampling.kind == "window":
        (shifted,) = window(num_frames, fps, len(plain), begin, begin + length, sampling.window_fps)
        return np.asarray(shifted)
    return np.minimum(begin + steps, num_frames - 1)
