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

NOT_LOADED = "Could not load libtorchcodec"
"""What torchcodec says where FFmpeg's libraries, or those of the torch that it was built for, are missing."""


class TorchcodecReader:
    """Reads frame by frame with ``torchcodec.decoders.VideoDecoder``.

    Args:
        path: a file.
        short_side: must be ``None``: torchcodec scales after it has made RGB, which gives other pixels.
        device: on which it decodes, as torch calls it; frames are copied from there.

    Raises:
        ValueError: it is to scale.
        VideoError: as :func:`fouls.video.frame_index.index_of`; ``unreadable`` also where torchcodec would
            not give the right frames.
        ConfigError: torchcodec, or the FFmpeg that it needs, is not installed.
    """

    decoder = "torchcodec"

    def __init__(self, path: str, short_side: int | None = None, device: str = "cpu") -> None:
        if short_side is not None:
            raise ValueError(f"{self.decoder} is to scale to {short_side}")
        video_decoder = load_video_decoder(self.decoder)
        index = index_of(path)
        self.info = index.info
        self._last_good: int | None = None
        check_trust(index, self.decoder)
        try:
            self._reader: Any = video_decoder(
                url_of(path),
                stream_index=index.stream,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                device=device,
                seek_mode="exact",
            )
            counted = len(self._reader)
        except Exception as error:  # it raises many things
            if NOT_LOADED in str(error):  # which is found out at the first file
                raise _not_loaded(self.decoder, error) from None
            raise VideoError("unreadable", one_line(error), decoder=self.decoder) from None
        check_count(index, counted, self.decoder)

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        check_indices(indices, self.info.num_frames)
        for number in indices.tolist():
            try:
                frame: Frame = self._reader.get_frame_at(number).data.cpu().numpy()
            except Exception as error:  # it raises many things
                raise self._error(f"at frame {number}: {one_line(error)}") from None
            if frame.shape != (self.info.height, self.info.width, 3):
                raise self._error(f"frame {number} has shape {frame.shape}")
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

    def _error(self, message: str) -> VideoError:
        return VideoError("decode_error", message, decoder=self.decoder, last_good_frame=self._last_good)


def load_video_decoder(decoder: str) -> Any:
    """torchcodec's ``VideoDecoder``, for the decoder of this name.

    Raises:
        ConfigError: it is not installed, or lacks what it needs.
    """
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:
        raise _not_loaded(decoder, error) from None
    return VideoDecoder


def _not_loaded(decoder: str, error: BaseException) -> ConfigError:
    return ConfigError(
        f"decoder {decoder!r} can't be loaded ({one_line(error)}): pip install 'fouls[torchcodec]', and FFmpeg with "
        "your system's packages (apt install ffmpeg, brew install ffmpeg), or use --decoder auto"
    )


def one_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(" .:")
