"""Which frames a file has, found by reading its packets without decoding them.

The index is what frame numbers mean: frame 0 is the one shown first. Every decoder follows it, or refuses the file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fouls.errors import VideoError
from fouls.video.types import VideoInfo

NOT_A_NUMBER = -(2**63)
"""Stands for a timestamp that a packet does not have."""
CACHED_INDEXES = 16
"""A long video is read in many pieces; its packets are read once for all of them in a process."""
URL_SCHEMES = ("http", "https")
"""What may stand where a file's path does."""
MAX_PIXELS = 2**26
"""Of a frame, twice 8K: a small file may declare pictures that would take all the memory there is."""
PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "sdp"})
"""FFmpeg's formats whose files name other files: what comes out is not what was hashed."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndex:
    """The frames of the best video stream of a file, in the order in which they are shown."""

    info: VideoInfo
    container: str
    """FFmpeg's names of the format, as in ``mov,mp4,m4a,3gp,3g2,mj2``."""
    stream: int
    """Number of the stream in the file."""
    timestamps: npt.NDArray[np.int64] | None
    """When each frame is shown, ascending, in the stream's time base; ``None`` where the file doesn't say.

    AVI never says: it stores no times, and those that FFmpeg makes up are wrong where there are B-frames.
    """
    keys: npt.NDArray[np.int64]
    """Numbers of the frames where decoding may begin, ascending; frames shown before such a frame may come after it."""
    key_decode_times: npt.NDArray[np.int64]
    """Of each of ``keys``, in the stream's time base."""
    key_packets: tuple[tuple[int | None, int], ...]
    """Of each of ``keys``, the byte of the file where its packet begins, where the format says so, and its bytes."""
    has_open_groups: bool
    """Whether frames stored after a key frame are shown before it."""
    pix_fmt: str
    """FFmpeg's name of the first frame's pixel format."""
    bits: int
    """Of a sample in that format."""
    rotation: int
    """Degrees, counter-clockwise, by which pictures are turned to be upright."""
    declared_frames: int
    """As the header counts them; 0 where it doesn't."""

    def number_at(self, timestamp: int | None) -> int | None:
        """The frame that is shown at a time; ``None`` where there is none."""
        if timestamp is None or self.timestamps is None:
            return None
        number = int(np.searchsorted(self.timestamps, timestamp))
        return number if number < len(self.timestamps) and self.timestamps[number] == timestamp else None

    def key_of(self, packet: Packet[VideoStream]) -> int | None:
        """The frame of ``keys`` that a packet becomes; ``None`` where it is not the packet that stood for that frame
        when the file was read from its beginning: a file's own index may lead astray."""
        number = self.number_at(packet.pts)
        position = None if number is None else self.key_before(number)
        if position is None or self.keys[position] != number:
            return None
        return number if self.key_packets[position] == (packet.pos, packet.size) else None

    def key_before(self, number: int) -> int | None:
        """Position in ``keys`` of the last key frame that is not after frame ``number``, where there is one."""
        position = int(np.searchsorted(self.keys, number, side="right")) - 1
        return None if position < 0 else position


def index_of(path: str) -> FrameIndex:
    """Read the index of a file, or take the one that was read before, where the file is still the same.

    Raises:
        VideoError: ``unreadable``, ``no_video_stream``, ``too_short`` without any frame, or ``decode_error`` when the
            first frame can't be decoded.
    """
    if is_url(path):
        return _read_index(path, None, None)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise VideoError("unreadable", reason(error)) from None
    return _read_index(path, status.st_size, status.st_mtime_ns)


def is_url(path: str) -> bool:
    """Whether a path is a URL, ``scheme://…``."""
    return _SCHEME.match(path) is not None


def url_of(path: str) -> str:
    """What FFmpeg has to be given, so that a colon in a file's name is no protocol; a URL stays as it is.

    Raises:
        VideoError: ``unreadable``: FFmpeg knows more protocols than anybody asks for.
    """
    scheme = _SCHEME.match(path)
    if scheme is None:
        return f"file:{path}"
    if scheme[1].lower() not in URL_SCHEMES:
        raise VideoError("unreadable", f"{scheme[1]}:// is not read; allowed are files and {', '.join(URL_SCHEMES)}")
    return path


def open_container(path: str) -> InputContainer:
    """Open a media file.

    Raises:
        VideoError: ``unreadable``.
    """
    options = {} if is_url(path) else {"protocol_whitelist": "file"}
    try:
        container = av.open(url_of(path), options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise VideoError("unreadable", reason(error)) from None
    if container.format.name in PLAYLISTS:
        container.close()
        raise VideoError("unreadable", f"a playlist ({container.format.name}): list the files that it names")
    return container


def reason(error: Exception) -> str:
    """What the system or FFmpeg says, without its numbers and without the path: who has many videos knows which.

    Raises:
        MemoryError: that was it; whose fault it is can't be said here.
    """
    if isinstance(error, MemoryError):
        raise error
    message: str = getattr(error, "strerror", None) or str(error)
    return message[:1].lower() + message[1:]


@lru_cache(maxsize=CACHED_INDEXES)
def _read_index(path: str, _size: int | None, _modified_ns: int | None) -> FrameIndex:
    with open_container(path) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
            raise VideoError("no_video_stream", "no video stream")
        if stream.codec_context is None:
            raise VideoError("unreadable", "no decoder for its codec")
        _check_size(stream.codec_context.width, stream.codec_context.height)
        try:
            packets, first = _read_packets(container, stream)
        except av.FFmpegError as error:
            raise VideoError("unreadable", reason(error)) from None
        if not packets:
            raise VideoError("too_short", "no frames")
        if first is None:
            raise VideoError("decode_error", "not one frame can be decoded")
        _check_size(first.width, first.height)
        return _index(container, stream, packets, first)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            "unreadable", f"frames of {width}×{height} pixels; at most {MAX_PIXELS // 10**6} million are read"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packet:
    shown: int
    decoded: int
    place: tuple[int | None, int]
    """See :attr:`FrameIndex.key_packets`."""
    is_key: bool
    is_whole: bool
    is_shown: bool
    """Not cut off by an edit list."""


def _read_packets(container: InputContainer, stream: VideoStream) -> tuple[list[_Packet], VideoFrame | None]:
    """The packets that become frames, in the order of the file, and the first frame that comes out."""
    stream.thread_type = "NONE"
    first = None
    packets = []
    for packet in container.demux(stream):
        if first is None:
            first = _decode_one(packet)
        if packet.size:
            packets.append(
                _Packet(
                    shown=NOT_A_NUMBER if packet.pts is None else packet.pts,
                    decoded=NOT_A_NUMBER if packet.dts is None else packet.dts,
                    place=(packet.pos, packet.size),
                    is_key=packet.is_keyframe,
                    is_whole=not packet.is_corrupt,
                    is_shown=not packet.is_discard,
                )
            )
    return _decodable(packets), first


def _decode_one(packet: Packet[VideoStream]) -> VideoFrame | None:
    try:
        return next(iter(packet.decode()), None)
    except MemoryError:
        raise
    except av.FFmpegError:
        return None


def _decodable(packets: list[_Packet]) -> list[_Packet]:
    """Without what a cut through the middle of a recording has spoilt, at its beginning or its end."""
    if packets and not packets[-1].is_whole:
        packets = packets[:-1]
    packets = list(dropwhile(lambda packet: not packet.is_key, packets)) or packets
    begin = packets[0].shown if packets else NOT_A_NUMBER
    return [packet for packet in packets if packet.is_shown and (packet.shown == NOT_A_NUMBER or packet.shown >= begin)]


def _index(container: InputContainer, stream: VideoStream, packets: list[_Packet], first: VideoFrame) -> FrameIndex:
    shown = np.array([packet.shown for packet in packets], dtype=np.int64)
    order = np.argsort(shown, kind="stable")
    numbers = np.empty(len(packets), dtype=np.int64)  # of the frame that each packet becomes
    numbers[order] = np.arange(len(packets))
    timestamps = shown[order]
    is_known = bool(timestamps[0] != NOT_A_NUMBER and (np.diff(timestamps) > 0).all())
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        is_known = False
    key_packets = np.flatnonzero([packet.is_key for packet in packets])
    by_number = key_packets[np.argsort(numbers[key_packets])]
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    is_turned = first.rotation % 180 == 90
    return FrameIndex(
        info=VideoInfo(
            num_frames=len(packets),
            fps=fps,
            width=first.height if is_turned else first.width,
            height=first.width if is_turned else first.height,
            duration_seconds=len(packets) / fps if fps else 0.0,
            codec=stream.codec_context.codec.canonical_name,
        ),
        container=container.format.name,
        stream=stream.index,
        timestamps=timestamps if is_known else None,
        keys=numbers[by_number],
        key_decode_times=np.array([packets[packet].decoded for packet in by_number], dtype=np.int64),
        key_packets=tuple(packets[packet].place for packet in by_number),
        has_open_groups=bool((numbers[key_packets] != key_packets).any()),
        pix_fmt=first.format.name,
        bits=max(component.bits for component in first.format.components),
        rotation=first.rotation % 360,
        declared_frames=stream.frames,
    )
