"""A block's pictures, batch by batch, decoded a little ahead of the backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from fouls.cache.spec import Spec
from fouls.errors import VideoError
from fouls.pipeline.decoding import DecodedVideo
from fouls.pipeline.jobs import ClipJob, VideoJob

BATCHES_AHEAD = 2
"""Batches whose videos are decoded ahead of the one in the backbone."""
MAX_JOB_BYTES = 256 * 2**20
"""Pictures that one decoding task may hand over; a longer one is divided."""

Submit = Callable[[VideoJob], "Future[DecodedVideo]"]


@dataclass(kw_only=True)
class Batch:
    """Some neighbouring rows of a block on their way into the backbone."""

    rows: range
    pictures: npt.NDArray[np.uint8]
    """(len(rows), T, S, S, 3); zeros where a row is not to be done, or can't be."""
    decoders: dict[int, str] = field(default_factory=dict)
    """Row → the decoder that filled it."""
    failures: dict[int, tuple[str, VideoError]] = field(default_factory=dict)
    """Row → its video and why it could not be filled."""


@dataclass
class DecodingCost:
    """Seconds, summed over the decoding processes; ``wait`` is the time in which the caller had no frames."""

    read: float = 0.0
    preprocess: float = 0.0
    wait: float = 0.0


def batches(
    videos: tuple[VideoJob, ...],
    *,
    rows: range,
    batch_size: int,
    spec: Spec,
    submit: Submit,
    cost: DecodingCost,
    pinned: bool = False,
) -> Iterator[Batch]:
    """The batches of a block that have a row to do.

    A batch is always the same rows of its block at the same places, whatever failed or was done before: the bits of
    a row's features then never depend on what else was done.

    Args:
        videos: what is to be decoded.
        rows: the row numbers of the block.
        batch_size: rows a batch; the block's last batch may be short.
        spec: for the size of the pictures.
        submit: starts decoding in another process.
        cost: is added to.
        pinned: whether the pictures lie in memory from which a GPU copies while other things go on.
    """
    clip_shape = _clip_shape(spec)
    waiting = sorted(_divide(videos, max_pictures(spec)), key=_first_row, reverse=True)
    running: list[tuple[VideoJob, Future[DecodedVideo]]] = []
    for first in range(rows.start, rows.stop, batch_size):
        batch_rows = range(first, min(first + batch_size, rows.stop))
        while waiting and _first_row(waiting[-1]) < batch_rows.stop + BATCHES_AHEAD * batch_size:
            video = waiting.pop()
            running.append((video, submit(video)))
        pictures = torch.zeros((len(batch_rows), *clip_shape), dtype=torch.uint8, pin_memory=pinned).numpy()
        batch = Batch(rows=batch_rows, pictures=pictures)
        for video, future in running:
            _fill(batch, video, future, cost)
        running = [(video, future) for video, future in running if video.clips[-1].row >= batch_rows.stop]
        if batch.decoders or batch.failures:
            yield batch


def _fill(batch: Batch, video: VideoJob, future: Future[DecodedVideo], cost: DecodingCost) -> None:
    clips = [clip for clip in video.clips if clip.row in batch.rows]
    if not clips:
        return
    try:
        decoded = wait_for(future, cost, counts=clips[0] is video.clips[0])
    except VideoError as error:
        batch.failures.update({clip.row: (video.file.video_id, error) for clip in clips})
        return
    for clip in clips:
        batch.pictures[clip.row - batch.rows.start] = decoded.clip(clip)
        batch.decoders[clip.row] = decoded.decoder


def wait_for(future: Future[DecodedVideo], cost: DecodingCost, *, counts: bool = True) -> DecodedVideo:
    """The result of a decoding task.

    Args:
        future: the task.
        cost: is added to.
        counts: whether this is the first time that the task is waited for.

    Raises:
        VideoError: it could not be decoded.
    """
    started = time.perf_counter()
    try:
        decoded = future.result()
    finally:
        cost.wait += time.perf_counter() - started
    if counts:
        cost.read += decoded.read_seconds
        cost.preprocess += decoded.preprocess_seconds
    return decoded


def max_pictures(spec: Spec) -> int:
    """Pictures that one decoding task may hand over."""
    return max(1, MAX_JOB_BYTES // int(np.prod(_clip_shape(spec)[1:])))


def num_pictures(clips: Sequence[ClipJob]) -> int:
    """Pictures that clips of one video need: each frame of a crop once, in however many clips it is."""
    plain = [clip for clip in clips if clip.key is None]
    frames = len(np.unique(np.concatenate([clip.indices for clip in plain]))) if plain else 0
    return frames * len({clip.crop for clip in plain}) + sum(
        len(np.unique(clip.indices)) for clip in clips if clip.key is not None
    )


def _clip_shape(spec: Spec) -> tuple[int, int, int, int]:
    return spec.sampling.num_frames, spec.preprocessing.crop, spec.preprocessing.crop, 3


def _divide(videos: tuple[VideoJob, ...], most: int) -> Iterator[VideoJob]:
    """Halve the jobs that need too many pictures, until they don't."""
    for video in videos:
        half = len(video.clips) // 2
        if half and num_pictures(video.clips) > most:
            parts = (replace(video, clips=video.clips[:half]), replace(video, clips=video.clips[half:]))
            yield from _divide(parts, most)
        else:
            yield video


def _first_row(video: VideoJob) -> int:
    first: ClipJob = video.clips[0]
    return first.row
