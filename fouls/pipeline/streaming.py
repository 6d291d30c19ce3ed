"""Stream nets: a video goes through the net piece by piece, and what the net remembers goes along.

A row is what the net says after one more sub-clip. Its features depend on all frames before, so the sub-clips of a
video are done in their order: within a block, and from one block of a group to the next. Where a block is done without
the one before it (after a crash), the video is gone through again from its beginning.

On a CPU every video has a thread of its own, as clips have (see :mod:`.backbones.clip_threads`): what is to be done for
a few frames is too little for several.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fouls.cache.spec import SamplingSpec
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.clip_threads import on_one_thread
from fouls.pipeline.batches import DecodingCost, Submit, wait_for
from fouls.pipeline.decoding import DecodedVideo
from fouls.pipeline.jobs import ClipJob, VideoJob

FRAMES_A_PIECE = 64
"""Frames that one decoding task hands over; the next piece is decoded meanwhile."""


@dataclass
class Streams:
    """What the net remembers of the videos that the blocks of a group have begun."""

    carried: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """video_id → the first frame that the net has not seen, and its state."""


@dataclass(frozen=True, kw_only=True)
class StreamedRow:
    """One row's features."""

    row: int
    decoder: str
    features: dict[str, npt.NDArray[np.float32]]
    """Pool → a row's feature."""
    forward_seconds: float
    """Of the sub-clips since the row before, those included that were only gone through again."""


def stream_video(
    video: VideoJob,
    *,
    backbone: Backbone,
    sampling: SamplingSpec,
    pools: Sequence[str],
    submit: Submit,
    streams: Streams,
    free: AbstractContextManager[object],
    cost: DecodingCost,
) -> Iterator[StreamedRow]:
    """Go through a video up to the last of the rows that are wanted.

    Args:
        video: the rows of one video, ascending.
        backbone: a stream net.
        sampling: kind ``stream``.
        pools: which features.
        submit: starts decoding in another process.
        streams: where the video is gone on from, if it was begun; and where its state is left.
        free: held while the net is used; where several may hold it, as many videos go through the net side by side.
        cost: is added to.

    Raises:
        VideoError: a sub-clip can't be decoded; the rows before it have been yielded.
    """
    start, state = streams.carried.pop(video.file.video_id, (video.origin, None))
    if start > video.clips[0].indices[0]:
        start, state = video.origin, None
    clips = _sub_clips(video, start, sampling)
    seconds = 0.0
    for clip, decoded in _decoded(video, clips, sampling, submit, cost):
        pictures = torch.from_numpy(decoded.clip(clip)[None])
        with free:
            started = time.perf_counter()
            features, state = go_on(backbone, pictures, state, pools)
            seconds += time.perf_counter() - started
        if clip.row >= 0:
            yield StreamedRow(row=clip.row, decoder=decoded.decoder, features=features, forward_seconds=seconds)
            seconds = 0.0
    streams.carried[video.file.video_id] = (int(clips[-1].indices[0]) + _hop(sampling), state)


def go_on(
    backbone: Backbone, pictures: Tensor, state: Any, pools: Sequence[str]
) -> tuple[dict[str, npt.NDArray[np.float32]], Any]:
    """Push a video's next frames through a stream net.

    Args:
        backbone: a stream net.
        pictures: (1, T, S, S, 3) uint8.
        state: after the frames before them; ``None`` at the beginning.
        pools: which features.

    Returns:
        Pool → the row's feature, and the state after these frames.
    """

    def compute() -> tuple[dict[str, npt.NDArray[np.float32]], Any]:
        encoded, after = backbone.stream(backbone.normalise(pictures), state, pools)
        return {pool: feature[0].cpu().numpy() for pool, feature in encoded.items()}, after

    return on_one_thread(compute) if backbone.device.type == "cpu" else compute()


def streams_at_once(device: torch.device) -> int:
    """Videos that go through a stream net side by side: one a thread on a CPU; elsewhere they take turns."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def _sub_clips(video: VideoJob, start: int, sampling: SamplingSpec) -> list[ClipJob]:
    """All sub-clips from a frame to the last wanted one; those that no row wants have row -1."""
    wanted = {int(clip.indices[0]): clip for clip in video.clips}
    steps = np.arange(sampling.num_frames, dtype=np.int32) * (sampling.frame_stride or 1)
    return [
        wanted.get(first) or ClipJob(row=-1, crop=0, indices=first + steps)
        for first in range(start, max(wanted) + 1, _hop(sampling))
    ]


def _decoded(
    video: VideoJob, clips: list[ClipJob], sampling: SamplingSpec, submit: Submit, cost: DecodingCost
) -> Iterator[tuple[ClipJob, DecodedVideo]]:
    """Each sub-clip with the pictures of its piece; one piece is decoded ahead."""
    pieces = list(_pieces(clips, max(1, FRAMES_A_PIECE // sampling.num_frames)))
    running: list[Future[DecodedVideo]] = []
    for number, piece in enumerate(pieces):
        ahead = pieces[number + len(running) : number + 2]
        running += [submit(VideoJob(file=video.file, clips=clips_ahead)) for clips_ahead in ahead]
        decoded = wait_for(running.pop(0), cost)
        for clip in piece:
            yield clip, decoded


def _pieces(clips: list[ClipJob], length: int) -> Iterator[tuple[ClipJob, ...]]:
    for first in range(0, len(clips), length):
        yield tuple(clips[first : first + length])


def _hop(sampling: SamplingSpec) -> int:
    assert sampling.hop is not None
    return sampling.hop
