"""``pyav``: FFmpeg as PyAV's wheel brings it. Reads the most, and seeks by the file's own index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fouls.errors import VideoError
from fouls.video.frame_index import NOT_A_NUMBER, index_of, open_container, reason
from fouls.video.to_rgb import ToRgb
from fouls.video.types import Frame, check_indices

WORTH_A_SEEK = 8
"""Frames; to decode fewer that nobody wants takes less time than to seek."""


class PyavReader:
    """Decodes on, from the key frame before a wanted frame, and drops what isn't wanted; holds one frame at a time.

    Args:
        path: a file, or a URL that FFmpeg can open.

    Raises:
        VideoError: ``unreadable``, ``no_video_stream``, ``too_short`` or ``decode_error``.
    """

    decoder = "pyav"

    def __init__(self, path: str) -> None:
        self._path = path
        self._index = index_of(path)
        self.info = self._index.info
        self._to_rgb = ToRgb()
        self._can_seek = self._index.timestamps is not None
        self._last_good: int | None = None
        self._container: InputContainer | None = None
        self._restart()

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        check_indices(indices, self.info.num_frames)
        for target in indices.tolist():
            self._approach(target)
            yield self._decode_until(target)

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _restart(self) -> None:
        self.close()
        self._container = open_container(self._path)
        self._stream: VideoStream = self._container.streams[self._index.stream]  # type: ignore[assignment]
        self._stream.thread_type = "NONE"  # the processes are the parallelism
        self._pictures = self._decode(self._container.demux(self._stream))
        self._next = 0

    def _approach(self, target: int) -> None:
        """Go back, or on to a later key frame, where that is the way to ``target``."""
        key = self._index.key_before(target)
        if target < self._next:
            if not (self._can_seek and self._seek(key)):
                self._restart()
        elif self._can_seek and self._index.keys[key] >= self._next + WORTH_A_SEEK and not self._seek(key):
            self._restart()

    def _seek(self, key: int) -> bool:
        """Go to a key frame, or a little before it. Not every format can: then this is not tried again."""
        if self._container is None or self._index.timestamps is None:
            return False
        shown = int(self._index.timestamps[self._index.keys[key]])
        for timestamp in (shown, int(self._index.key_decode_times[key])):  # formats differ in which of them they know
            if timestamp == NOT_A_NUMBER:
                continue
            try:
                self._container.seek(timestamp, stream=self._stream)
                packets = self._container.demux(self._stream)
                landing = next(packets)
            except (av.FFmpegError, StopIteration):
                continue
            number = self._index.number_at(landing.pts)
            if number is not None and landing.is_keyframe and number <= self._index.keys[key]:
                self._pictures, self._next = self._decode(chain([landing], packets)), number
                return True
        self._can_seek = False
        return False

    def _decode(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        try:
            for packet in packets:
                yield from packet.decode()
        except av.FFmpegError as error:
            raise self._error(f"after frame {self._last_good}: {reason(error)}") from None

    def _decode_until(self, target: int) -> Frame:
        for picture in self._pictures:
            number = self._index.number_at(picture.pts)
            if number is None:
                number = self._next
            self._next = number + 1
            self._last_good = number
            if number == target:
                return self._to_rgb(picture)
            if number > target:
                raise self._error(f"frame {target} does not come out of the decoder")
        raise self._error(f"decoding ends after frame {self._last_good} of {self.info.num_frames}")

    def _error(self, message: str) -> VideoError:
        return VideoError("decode_error", message, decoder=self.decoder, last_good_frame=self._last_good)
