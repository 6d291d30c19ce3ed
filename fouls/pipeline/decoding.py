"""From a file to the backbone's uint8 pictures, in a process that may hang or die without taking the run along."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import VideoError
from fouls.pipeline.backbones.preprocessing import resize_and_crop
from fouls.pipeline.jobs import VideoFile, VideoJob
from fouls.video.decoders import candidates, open_video
from fouls.video.types import VideoReader

FRAMES_AT_ONCE = 16
"""Full-size frames held by a decoding process: its memory does not grow with the video or the job."""


@dataclass(frozen=True, kw_only=True)
class DecodedVideo:
    """The pictures of one :class:`VideoJob`, each frame once."""

    pictures: npt.NDArray[np.uint8]
    """(crops, frames, S, S, 3): the crops that are asked for, the frames that are needed, ascending."""
    crops: tuple[int, ...]
    frames: npt.NDArray[np.int64]
    """Native indices of the second axis."""
    decoder: str
    read_seconds: float
    preprocess_seconds: float

    def clip(self, crop: int, indices: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """The pictures of one row, (T, S, S, 3)."""
        picked: npt.NDArray[np.uint8] = self.pictures[self.crops.index(crop)][np.searchsorted(self.frames, indices)]
        return picked


def decode(job: VideoJob, preprocessing: PreprocessingSpec, num_crops: int, decoder: str) -> DecodedVideo:
    """Decode, resize and crop what a job needs, with the first of the decoder's candidates that can.

    Raises:
        VideoError: no candidate can, or the file is not the one that was probed. With several candidates the
            message has what each of them said.
    """
    torch.set_num_threads(1)  # the processes are the parallelism
    check_unchanged(job.file)
    refusals: list[VideoError] = []
    for candidate in candidates(decoder):
        try:
            return _decode_with(candidate, job, preprocessing, num_crops)
        except VideoError as error:
            refusals.append(error)
    raise _combined(refusals)


def check_unchanged(file: VideoFile) -> None:
    """Compare a file with what was probed: its size and time, and its hash where only the time differs.

    Raises:
        VideoError: it is gone (``unreadable``), or has other content (``changed``).
    """
    if file.size_bytes is None:
        return
    try:
        found = os.stat(file.path)
    except OSError as error:
        raise VideoError("unreadable", f"{error.strerror}: {file.path}") from None
    if found.st_size == file.size_bytes:
        if found.st_mtime_ns == file.modified_ns:
            return
        with open(file.path, "rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == file.content_hash:
                return
    raise VideoError("changed", f"{file.path} has changed since it was probed: build the manifest again")


def _decode_with(decoder: str, job: VideoJob, preprocessing: PreprocessingSpec, num_crops: int) -> DecodedVideo:
    frames = np.unique(np.concatenate([clip.indices for clip in job.clips])).astype(np.int64)
    crops = tuple(sorted({clip.crop for clip in job.clips}))
    size = preprocessing.crop
    pictures = np.empty((len(crops), len(frames), size, size, 3), dtype=np.uint8)
    preprocess_seconds = 0.0
    started = time.perf_counter()
    with open_video(job.file.path, decoder) as reader:
        for first, full_size in _in_chunks(reader, frames):
            resizing = time.perf_counter()
            cropped = resize_and_crop(full_size, preprocessing, crops=crops, num_crops=num_crops)
            pictures[:, first : first + len(full_size)] = cropped.numpy()
            preprocess_seconds += time.perf_counter() - resizing
    return DecodedVideo(
        pictures=pictures,
        crops=crops,
        frames=frames,
        decoder=decoder,
        read_seconds=time.perf_counter() - started - preprocess_seconds,
        preprocess_seconds=preprocess_seconds,
    )


def _in_chunks(reader: VideoReader, frames: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Position of a chunk's first frame, and its frames (n, H, W, 3)."""
    chunk: list[npt.NDArray[np.uint8]] = []
    first = 0
    for frame in reader.read(frames):
        chunk.append(frame)
        if len(chunk) == FRAMES_AT_ONCE:
            yield first, np.stack(chunk)
            first += len(chunk)
            chunk.clear()
    if chunk:
        yield first, np.stack(chunk)
        first += len(chunk)
    if first != len(frames):
        last = int(frames[first - 1]) if first else None
        raise VideoError("decode_error", f"{first} of {len(frames)} frames came", last_good_frame=last)


def _combined(refusals: list[VideoError]) -> VideoError:
    if len(refusals) == 1:
        return refusals[0]
    furthest = max(refusals, key=lambda error: -1 if error.last_good_frame is None else error.last_good_frame)
    return VideoError(
        refusals[-1].code,
        "; ".join(f"{error.decoder or 'decoder'}: {error}" for error in refusals),
        decoder=refusals[-1].decoder,
        last_good_frame=furthest.last_good_frame,
    )
