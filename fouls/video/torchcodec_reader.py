"""``torchcodec``: an extra. It needs the FFmpeg of the system."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError, VideoError
from fouls.video.frame_index import index_of, url_of
from fouls.video.trust import check_count, check_trust
from fouls.video.types import Frame, check_indices


class TorchcodecReader:
    """Reads frame by frame with ``torchcodec.decoders.VideoDecoder``.

    Args:
        path: a file.
        short_side: must be ``None``: torchcodec scales after it has made RGB, which gives other pixels.

    Raises:
        ValueError: it is to scale.
        VideoError: as :func:`fouls.video.frame_index.index_of`; ``unreadable`` also where torchcodec would
            not give the right frames.
        ConfigError: torchcodec, or the FFmpeg that it needs, is not installed.
    """

    decoder = "torchcodec"

    def __init__(self, path: str, short_side: int | None = None) -> None:
        if short_side is not None:
            raise ValueError(f"torchcodec is to scale to {short_side}")
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, RuntimeError, OSError) as error:
            raise ConfigError(
                f"decoder 'torchcodec' can't be loaded ({_one_line(error)}): pip install 'fouls[torchcodec]', and "
                "FFmpeg with your system's packages (apt install ffmpeg, brew install ffmpeg), or use --decoder auto"
            ) from None
        index = index_of(path)
        self.info = index.info
        self._last_good: int | None = None
        check_trust(index, self.decoder)
        try:
            self._reader: Any = VideoDecoder(
                url_of(path), stream_index=index.stream, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
            counted = len(self._reader)
        except Exception as error:  # it raises many things
            raise VideoError("unreadable", _one_line(error), decoder=self.decoder) from None
        check_count(index, counted, self.decoder)

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        check_indices(indices, self.info.num_frames)
        for number in indices.tolist():
            try:
                frame: Frame = self._reader.get_frame_at(number).data.numpy()
            except Exception as error:  # it raises many things
                raise VideoError(
                    "decode_error",
                    f"at frame {number}: {_one_line(error)}",
                    decoder=self.decoder,
                    last_good_frame=self._last_good,
                ) from None
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


def _one_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(" .:")
