"""``decord``: where its wheel exists, and for the files that it is trusted with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError, VideoError
from fouls.video.decord_log import complaints
from fouls.video.frame_index import index_of, is_url, url_of
from fouls.video.scaling import scaled_size
from fouls.video.trust import DistrustError, check_count, check_trust
from fouls.video.types import Frame, check_indices

NO_REPEATS = "0.0000001"
"""Share of frames that decord may replace by another when it can't decode them; 0 would mean any number."""

MAX_FILE_BYTES = 128 * 2**20
"""decord reads packets ahead without a bound and may soon hold a whole file in memory. Larger files are PyAV's."""

AS_IT_IS = -1
"""Width and height with which decord does not scale."""


class DecordReader:
    """Reads frame by frame, which is as fast as in batches, until decord's FFmpeg complains: damage is PyAV's.

    Args:
        path: a file, of 128 MiB at most.
        short_side: to which pictures are scaled down; ``None``: not.

    Raises:
        VideoError: as :func:`fouls.video.frame_index.index_of`; ``unreadable`` also where decord would not give the
            right frames.
        ConfigError: decord is not installed.
    """

    decoder = "decord"

    def __init__(self, path: str, short_side: int | None = None) -> None:
        try:
            import decord
        except ImportError as error:
            raise ConfigError(
                f"decoder 'decord' can't be loaded ({error}); it has wheels for x86-64 only: use --decoder pyav"
            ) from None
        decord.logging.set_level(decord.logging.QUIET)
        index = index_of(path)
        self.info = index.info
        self._size = scaled_size(self.info.width, self.info.height, short_side)
        self._last_good: int | None = None
        if is_url(path) or os.path.getsize(path) > MAX_FILE_BYTES:
            limit = f"may hold all of a file in memory, and reads none over {MAX_FILE_BYTES // 2**20} MiB"
            raise DistrustError(self.decoder, limit)
        scales = self._size != (self.info.width, self.info.height)
        check_trust(index, self.decoder, scales=scales)
        heard = complaints()
        if heard is None:
            raise DistrustError(self.decoder, "hides damage on this system")
        self._complaints, self._heard_before = heard, heard.count
        try:
            width, height = self._size if scales else (AS_IT_IS, AS_IT_IS)
            self._reader: Any = decord.VideoReader(
                url_of(path), width=width, height=height, num_threads=1, fault_tol=NO_REPEATS
            )
            counted = len(self._reader)
        except Exception as error:  # decord raises what it likes
            raise VideoError("unreadable", _one_line(error), decoder=self.decoder) from None
        check_count(index, counted, self.decoder)
        if not np.isin(self._reader.get_key_indices(), index.keys).all():
            raise DistrustError(self.decoder, "begins at key frames that are none")
        self._check_complaints()

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        check_indices(indices, self.info.num_frames)
        for number in indices.tolist():
            try:
                frame: Frame = self._reader.get_batch([number]).asnumpy()[0]
            except Exception as error:  # decord raises what it likes
                raise self._error(f"at frame {number}: {_one_line(error)}") from None
            if frame.shape != (*self._size[::-1], 3):
                raise self._error(f"frame {number} has shape {frame.shape}")
            self._check_complaints()
            self._last_good = number
            yield frame

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check_complaints(self) -> None:
        if self._complaints.count > self._heard_before:
            raise self._error(f"damaged: {self._complaints.last}")

    def _error(self, message: str) -> VideoError:
        return VideoError("decode_error", message, decoder=self.decoder, last_good_frame=self._last_good)


def _one_line(error: Exception) -> str:
    """decord's message without times, places in C++ and stack trace."""
    message = str(error).partition("\n")[0]
    message = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", message)
    return re.sub(r"Check failed: .* \(.* vs\. .*?\) ", "", message) or type(error).__name__
