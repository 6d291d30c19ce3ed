"""Are the frames right? Compared with a decoding from the first packet to the last: no index, no seek."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import VideoError
from fouls.pipeline.backbones.preprocessing import resize_and_crop
from fouls.video.decoders import open_video
from fouls.video.frame_index import FrameIndex, index_of
from fouls.video.to_rgb import ToRgb

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What there is to say of the frames of one row."""

    outcomes: dict[str, str]
    """Decoder → ``done``, or the class of its error."""
    from_reference: float | None
    """Mean difference of PyAV's worst frame from the reference, in grey levels; ``None``: there is no reference."""
    between: float | None
    """Mean difference of the worst frame of decord and PyAV, in grey levels; ``None`` where not both read all."""
    pictures: Picture | None
    """(T, S, S, 3): what the backbone should have been given; ``None`` where there is no reference for each frame."""


def judge(path: str, indices: list[int], preprocessing: PreprocessingSpec, decoders: tuple[str, ...]) -> Judgement:
    """Read the frames of a row with each decoder and without any index.

    Args:
        path: of a file.
        indices: of the row's frames.
        preprocessing: the backbone's.
        decoders: ``pyav`` and, where it is installed, ``decord``.
    """
    wanted = np.unique(np.array(indices, dtype=np.int64))
    outcomes: dict[str, str] = {}
    frames: dict[str, list[Picture]] = {}
    for decoder in decoders:
        try:
            with open_video(path, decoder) as reader:
                frames[decoder] = list(reader.read(wanted))
            outcomes[decoder] = "done"
        except VideoError as error:
            outcomes[decoder] = error.code
    reference = dict(reference_frames(path, set(wanted.tolist()))) if frames else {}
    pictures = None
    if len(reference) == len(wanted):
        clip = [resize_and_crop(reference[number][None], preprocessing)[0, 0].numpy() for number in indices]
        pictures = np.stack(clip)
    return Judgement(
        outcomes=outcomes,
        from_reference=_worst(frames.get("pyav"), [reference.get(number) for number in wanted.tolist()]),
        between=_worst(frames.get("pyav"), frames.get("decord")),
        pictures=pictures,
    )


def _worst(some: list[Picture] | None, others: list[Picture] | list[Picture | None] | None) -> float | None:
    if some is None or others is None:
        return None
    pairs = [(one, other) for one, other in zip(some, others, strict=True) if other is not None]
    return max((difference(one, other) for one, other in pairs), default=None)


def difference(one: Picture, other: Picture) -> float:
    """Mean difference in grey levels; 255 for pictures of different sizes."""
    return 255.0 if one.shape != other.shape else float(np.abs(one.astype(np.int16) - other).mean())


def reference_frames(path: str, wanted: set[int]) -> Iterator[tuple[int, Picture]]:
    """The wanted frames that one pass over the file gives, whatever else in it is broken, with their numbers.

    Where as many frames come out as the file has, a frame's number is its place in the order of their times, or of the
    output where the file has no times; else it is found by the time at which the frame is shown. To RGB they go as
    fouls does it: what is judged are the frames.
    """
    index = index_of(path)
    numbers = _numbers([frame.pts for frame in _decoded(path, index)], index)
    to_rgb = ToRgb()
    for number, frame in zip(numbers, _decoded(path, index), strict=True):
        picture = to_rgb(frame)
        if number in wanted:
            yield number, picture


def _numbers(times: list[int | None], index: FrameIndex) -> list[int | None]:
    if len(times) != index.info.num_frames:
        return [index.number_at(time) for time in times]
    known = [time for time in times if time is not None]
    if index.timestamps is None or len(set(known)) < len(times):
        return list(range(len(times)))
    rank = {time: number for number, time in enumerate(sorted(known))}
    return [rank[time] for time in known]


def _decoded(path: str, index: FrameIndex) -> Iterator[av.VideoFrame]:
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.video[0]
        for stream in container.streams.video:
            if stream.index == index.stream:
                break
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
