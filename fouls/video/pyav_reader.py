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
from fouls.video.frame_index import MAX_PIXELS, index_of, open_container, reason
from fouls.video.to_rgb import ToRgb
from fouls.video.types import Frame, check_indices

WORTH_A_SEEK = 8
"""Frames; to decode fewer that nobody wants takes less time than to seek."""
# fmt: off
CONCEALING = frozenset([
    "flv1", "h263", "h263p", "h264", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2",
    "msmpeg4v3", "wmv1", "wmv2",
])
# fmt: on
"""Codecs where FFmpeg paints over damage, unless it is told that damage is an error."""
SAYS_WHAT_NOBODY_NEEDS = frozenset(["h264"])
"""Codecs whose frames say whether any other is decoded from them (``nal_ref_idc``, ITU-T H.264, 7.4.1), and whose
decoder leaves out, where it is told to, those from which none is. HEVC says it for each temporal layer by itself."""


class DamagedPictureError(Exception):
    """A picture came out, but FFmpeg has made up a part of it."""


class PyavReader:
    """Decodes on, from the key frame before a wanted frame, and drops what isn't wanted; holds one frame at a time.

    What isn't wanted in one call of :meth:`read`, and what no other frame is decoded from, is not decoded at all where
    the codec tells. Damage in anything else between that key frame and the wanted one is an error, even where FFmpeg
    could paint over it.

    Args:
        path: a file, or a URL that FFmpeg can open.
        short_side: to which pictures are scaled down; ``None``: not.

    Raises:
        VideoError: ``unreadable``, ``no_video_stream``, ``too_short`` or ``decode_error``.
    """

    decoder = "pyav"

    def __init__(self, path: str, short_side: int | None = None) -> None:
        self._path = path
        self._index = index_of(path)
        self.info = self._index.info
        self._to_rgb = ToRgb(short_side)
        self._can_seek = self._index.timestamps is not None
        self._leaves_out = self._can_seek and self.info.codec in SAYS_WHAT_NOBODY_NEEDS
        self._wanted: frozenset[int] = frozenset()
        self._skips = True  # to later key frames
        self._last_good: int | None = None
        self._container: InputContainer | None = None
        self._restart()

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        check_indices(indices, self.info.num_frames)
        self._wanted = frozenset(indices.tolist())
        if not self._wanted.isdisjoint(self._left_out):
            self._next = self.info.num_frames  # go back to before them
        for target in indices.tolist():
            self._approach(target)
            yield self._frame(target)

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
        self._stream.codec_context.options = {
            "err_detect": "crccheck+explode" if self.info.codec in CONCEALING else "crccheck",
            "max_pixels": str(MAX_PIXELS),
        }
        self._begin(self._container.demux(self._stream), 0)
        self._has_sought = False

    def _begin(self, packets: Iterator[Packet[VideoStream]], number: int) -> None:
        """Decode from a key frame on, the frame with this number."""
        self._first = self._next = number
        self._left_out: set[int] = set()
        self._pictures = self._decode(packets, number)

    def _approach(self, target: int) -> None:
        """Go back, or on to a later key frame, where that is the way to ``target``."""
        key = self._index.key_before(target)
        if target < self._next:
            if key is None or not self._seek(key):
                self._restart()
        elif self._skips and key is not None and self._index.keys[key] >= self._next + WORTH_A_SEEK:
            reached = self._next
            if not self._seek(key):
                self._restart()
            self._skips = self._next >= reached  # a file whose header does not list its key frames leads back

    def _seek(self, key: int) -> bool:
        """Go to a key frame, or a little before it. Not every format can: then this is not tried again."""
        if not self._can_seek or self._container is None or self._index.timestamps is None:
            return False
        number = int(self._index.keys[key])
        times = (int(self._index.timestamps[number]), int(self._index.key_decode_times[key]))
        for time in times:  # formats differ in which of them they know
            try:
                self._container.seek(time, stream=self._stream)
                packets = self._container.demux(self._stream)
                landing = next(packets)
            except (av.FFmpegError, StopIteration):
                continue
            landed = self._index.key_of(landing)
            if landed is not None and landed <= number:
                self._begin(chain([landing], packets), landed)
                self._has_sought = True
                return True
        self._can_seek = False
        return False

    def _frame(self, target: int, *, may_skip_damage: bool = True) -> Frame:
        try:
            return self._search(target)
        except (av.FFmpegError, DamagedPictureError) as error:
            if (
                self._has_sought and self._index.has_open_groups
            ):  # perhaps only what lies before the key frame is missed
                return self._from_the_beginning(target)
            key = self._index.key_before(target)
            if may_skip_damage and key is not None and self._index.keys[key] > self._next and self._seek(key):
                return self._frame(target, may_skip_damage=False)
            raise self._error(reason(error)) from None

    def _search(self, target: int) -> Frame:
        for picture in self._pictures:
            number = self._number(picture)
            if number is None:
                continue
            if picture.is_corrupt and number >= self._first:
                if self._has_sought and number == self._first:
                    break  # no frame to begin at
                raise DamagedPictureError("the decoder had to make up a part of a picture")
            self._next = number + 1
            if number > target:
                break
            self._last_good = number
            if number == target:
                return self._to_rgb(picture)
        if not self._has_sought and not self._left_out:
            raise self._error(f"the decoder leaves out frame {target}")
        return self._from_the_beginning(target)  # its key frames are none, or it has lost count

    def _from_the_beginning(self, target: int) -> Frame:
        self._can_seek = self._leaves_out = False
        self._restart()
        return self._frame(target)

    def _number(self, picture: VideoFrame) -> int | None:
        """Which frame a picture is; ``None`` for one that the index does not count."""
        if picture.pts is None or self._index.timestamps is None:
            return self._next
        return self._index.number_at(picture.pts)

    def _decode(self, packets: Iterator[Packet[VideoStream]], first: int) -> Iterator[VideoFrame]:
        """The pictures of some packets; those before frame ``first`` may lack what they refer to."""
        is_begun = not len(self._index.keys)
        for packet in packets:
            number = self._index.number_at(packet.pts)
            if packet.is_corrupt and number is None and self._index.timestamps is not None:
                continue  # the file ends in the middle of it: the index doesn't count it either
            is_begun |= packet.is_keyframe
            self._choose(number)
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                if not is_begun or (number is not None and number < first):
                    continue
                raise
            yield from pictures

    def _choose(self, number: int | None) -> None:
        """Tell the decoder whether the next packet, which becomes frame ``number``, is wanted for its own sake."""
        is_wanted = number is None or number in self._wanted or not self._leaves_out
        self._stream.codec_context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        if number is not None and not is_wanted:
            self._left_out.add(number)

    def _error(self, message: str) -> VideoError:
        self._next = self.info.num_frames  # whatever is read next needs a fresh start
        place = "at the first frame" if self._last_good is None else f"after frame {self._last_good}"
        return VideoError("decode_error", f"{place}: {message}", decoder=self.decoder, last_good_frame=self._last_good)
