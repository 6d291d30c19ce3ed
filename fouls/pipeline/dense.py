"""Which blocks of windows that overlap are decoded together: where one ends in a video, frames are decoded twice."""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.spec import SamplingSpec, Spec
from fouls.pipeline.batches import max_pictures
from fouls.pipeline.grouping import GroupPlan, chain_blocks
from fouls.pipeline.sampling import span
from fouls.pipeline.work import Work

KEY_FRAMES = 250
"""Frames from one key frame to the next at most, as x264 and x265 have it by default. What a video has is not asked."""


def overlaps(sampling: SamplingSpec) -> bool:
    """Whether a window shares frames with the next."""
    stride, hop = sampling.frame_stride or 1, sampling.hop or 0
    return sampling.kind == "dense" and hop < span(sampling.num_frames, stride)


def group_dense(work: Work, spec: Spec, engines: int) -> list[GroupPlan]:
    """Put blocks together so that as few frames as possible are decoded twice.

    A group has no more blocks of one video than a decoding task may hand over pictures of. Where several engines share
    the work, there are two groups for each of them at least.

    Args:
        work: of a store whose windows overlap.
        spec: of the store.
        engines: that take groups.
    """
    most = _blocks_a_task(work.block_rows, spec)
    if engines > 1:
        most = min(most, len(work) // (2 * engines))
    videos = [work.videos(number) for number in range(len(work))]
    return chain_blocks(videos, max(1, most), _frames_again(work, spec.sampling))


def _blocks_a_task(block_rows: int, spec: Spec) -> int:
    """Blocks of one video whose pictures one decoding task may hand over."""
    sampling, hop = spec.sampling, spec.sampling.hop or 1
    new_a_row = min(sampling.num_frames, hop // gcd(hop, sampling.frame_stride or 1))
    rows = (max_pictures(spec) - sampling.num_frames) // new_a_row + 1
    return rows // block_rows


def _frames_again(work: Work, sampling: SamplingSpec) -> list[int]:
    """Of each block the frames that are decoded again where a group begins with it in the middle of a video.

    The group before has gone to the end of its last window; this one begins at the key frame before its first window,
    which may be the first of the video.
    """
    last_rows = np.maximum(work.edges[:-1] - 1, 0)  # of the block before
    clips: npt.NDArray[np.int64] = work.rows["clip"].take(pa.array(last_rows)).to_numpy().astype(np.int64)
    ends = clips * (sampling.hop or 1) + span(sampling.num_frames, sampling.frame_stride or 1)
    frames: list[int] = np.minimum(ends, KEY_FRAMES).tolist()
    return frames
