"""From a file to the backbone's uint8 pictures, in a process that may hang or die without taking the run along."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from fouls.cache.spec import Spec
from fouls.errors import VideoError
from fouls.pipeline.cutting import Cutter, Pictures
from fouls.pipeline.jobs import ClipJob, Cut, VideoFile, VideoJob
from fouls.video.decoders import candidates, open_video
from fouls.video.downloads import Downloads
from fouls.video.frame_index import is_url
from fouls.video.probe import hash_file
from fouls.video.trust import DistrustError
from fouls.video.types import Frame, VideoReader


@dataclass(frozen=True, kw_only=True)
class DecodedVideo:
    """The pictures of one :class:`VideoJob`, each frame of a crop once."""

    pictures: Mapping[Cut, Pictures]
    decoder: str
    read_seconds: float
    preprocess_seconds: float

    def clip(self, clip: ClipJob) -> npt.NDArray[np.uint8]:
        """The pictures of one row, (T, S, S, 3)."""
        return self.pictures[clip.cut].of(clip.indices)


def decode(job: VideoJob, spec: Spec, decoder: str) -> DecodedVideo:
    """Decode, resize and crop what a job needs, with the first of the decoder's candidates that can.

    Full-size frames are held one at a time: the memory that a job needs is that of its pictures.

    Raises:
        VideoError: no candidate can, or the file is not the one that was probed. With several candidates the
            message has what each of them said.
    """
    return _decode([(job, spec)], decoder)[0]


def decode_together(jobs: Sequence[tuple[VideoJob, Spec]], decoder: str) -> list[DecodedVideo]:
    """Decode one video for several jobs, each frame once.

    A candidate that opens the file and can't decode a frame ends it: the jobs are better tried one by one then, since
    some may do with the frames that can be decoded.

    Args:
        jobs: of one file; their specs have the same ``decode_resize``. Those of one spec, from several blocks, share
            the pictures.
        decoder: see ``fouls.video.decoders``.

    Returns:
        What :func:`decode` gives for each of the jobs, and what its neighbours need; the seconds are divided among
        those that share the work.

    Raises:
        VideoError: it can't, or the file is not the one that was probed.
    """
    return _decode(jobs, decoder, final={"decode_error"})


def _decode(
    jobs: Sequence[tuple[VideoJob, Spec]], decoder: str, final: Collection[str] = frozenset()
) -> list[DecodedVideo]:
    """By the first candidate that can; an error of a class in ``final`` ends the search."""
    torch.set_num_threads(1)  # the processes are the parallelism
    (short_side,) = {spec.decode_resize for _, spec in jobs}
    with at_hand(jobs[0][0].file) as file:
        refusals: list[VideoError] = []
        for candidate in candidates(decoder, short_side):
            try:
                return _decode_with(candidate, file, jobs)
            except VideoError as error:
                if error.code in final:
                    raise
                refusals.append(error)
        raise _combined(refusals)


@contextmanager
def at_hand(file: VideoFile) -> Iterator[VideoFile]:
    """The file where it can be decoded, and as it was probed: downloaded, where it is at a URL.

    Raises:
        VideoError: it is not there (``unreadable``, ``unreachable``), or has other content (``changed``).
    """
    if not is_url(file.path):
        check_unchanged(file)
        yield file
        return
    downloads = file.downloads or Downloads()
    facts = downloads.facts(file.path)
    if file.size_bytes not in (None, facts.size_bytes):
        raise _changed(file)
    with downloads.fetched(file.path, facts, file.content_hash) as path:
        if file.modified_ns != facts.modified_ns and file.content_hash not in (None, hash_file(str(path))):
            raise _changed(file)
        yield replace(file, path=str(path))


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
        if hash_file(file.path) == file.content_hash:
            return
    raise _changed(file)


def _changed(file: VideoFile) -> VideoError:
    shown = file.path.partition("?")[0] if is_url(file.path) else file.path  # a query may be a signature
    return VideoError("changed", f"{shown} has changed since it was probed: build the manifest again")


def _decode_with(decoder: str, file: VideoFile, jobs: Sequence[tuple[VideoJob, Spec]]) -> list[DecodedVideo]:
    """What each job needs; jobs of one spec share their pictures, each frame of a crop cut once for all of them."""
    specs = list(dict.fromkeys(spec for _, spec in jobs))
    cutters = [Cutter([clip for job, its in jobs if its == spec for clip in job.clips], spec) for spec in specs]
    frames = np.unique(np.concatenate([cutter.frames for cutter in cutters]))
    cutting_seconds = [0.0] * len(cutters)
    started = time.perf_counter()
    with open_video(file.path, decoder, specs[0].decode_resize) as reader:
        for number, frame in _numbered(reader, frames):
            for place, cutter in enumerate(cutters):
                cutting = time.perf_counter()
                cutter.cut(number, frame)
                cutting_seconds[place] += time.perf_counter() - cutting
    read_seconds = time.perf_counter() - started - sum(cutting_seconds)
    sharers = Counter(spec for _, spec in jobs)
    return [
        DecodedVideo(
            pictures=cutters[place].pictures,
            decoder=reader.decoder,
            read_seconds=read_seconds / len(jobs),
            preprocess_seconds=cutting_seconds[place] / sharers[spec],
        )
        for place, spec in ((specs.index(spec), spec) for _, spec in jobs)
    ]


def _numbered(reader: VideoReader, frames: npt.NDArray[np.int64]) -> Iterator[tuple[int, Frame]]:
    """The frames with their numbers; all of them, or an error."""
    numbers = frames.tolist()
    came = 0
    for frame in reader.read(frames):
        yield numbers[came], frame
        came += 1
    if came != len(numbers):
        last = numbers[came - 1] if came else None
        raise VideoError("decode_error", f"{came} of {len(numbers)} frames came", last_good_frame=last)


def _combined(refusals: list[VideoError]) -> VideoError:
    """What those say that have tried: a decoder that is not asked has nothing to say of the file."""
    refusals = [error for error in refusals if not isinstance(error, DistrustError)] or refusals
    if len(refusals) == 1:
        return refusals[0]
    furthest = max(refusals, key=lambda error: -1 if error.last_good_frame is None else error.last_good_frame)
    return VideoError(
        refusals[-1].code,
        "; ".join(f"{error.decoder or 'decoder'}: {error}" for error in refusals),
        decoder=refusals[-1].decoder,
        last_good_frame=furthest.last_good_frame,
    )
