"""What a video is to the rest of the program: a few facts, and frames by their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
"""(H, W, 3) RGB, upright: turned as the header says."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a decoder found in a file."""

    num_frames: int
    """Frames that decoding gives, in the order in which they are shown."""
    fps: float
    """Average frames a second; 0.0 where the file doesn't say."""
    width: int
    """Pixels, of the upright picture."""
    height: int
    """Pixels, of the upright picture."""
    duration_seconds: float
    """``num_frames / fps``."""
    codec: str
    """As FFmpeg calls it: h264, hevc, av1, mpeg4 …"""


class VideoReader(Protocol):
    """An open video. Frames are numbered from 0 in the order in which they are shown, whatever the decoder."""

    decoder: str
    """The name under which the decoder stands in ``DECODERS``."""
    info: VideoInfo

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """The frames with these numbers, one after another, each an array of its own; scaled, where that was asked for.

        Args:
            indices: ascending, none twice, all in [0, ``info.num_frames``).

        Raises:
            VideoError: ``decode_error``, with the last frame that could be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def check_indices(indices: npt.NDArray[np.int64], num_frames: int) -> None:
    """Check what every reader expects of its indices.

    Raises:
        ValueError: they are not ascending, or not all in [0, ``num_frames``).
    """
    if len(indices) and not (indices[0] >= 0 and indices[-1] < num_frames and (np.diff(indices) > 0).all()):
        raise ValueError(f"indices must ascend from 0 at least to {num_frames - 1} at most, got {indices}")
