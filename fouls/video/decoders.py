"""The decoders by name, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from fouls.errors import ConfigError, VideoError
from fouls.video.decord_reader import DecordReader
from fouls.video.pyav_reader import PyavReader
from fouls.video.torchcodec_reader import TorchcodecReader
from fouls.video.types import VideoReader

DECODERS: dict[str, Callable[[str], VideoReader]] = {
    "decord": DecordReader,
    "pyav": PyavReader,
    "torchcodec": TorchcodecReader,
}


def candidates(decoder: str) -> tuple[str, ...]:
    """The decoders to try, in this order: what is named, or with ``auto`` decord, where it is installed, then PyAV.

    Raises:
        ConfigError: no decoder has this name.
    """
    if decoder == "auto":
        return ("decord", "pyav") if find_spec("decord") else ("pyav",)
    if decoder not in DECODERS:
        raise ConfigError(f"decoder is {decoder!r}; allowed: auto, {', '.join(DECODERS)}")
    return (decoder,)


def open_video(path: str, decoder: str = "auto") -> VideoReader:
    """Open a video with the first candidate that can.

    Args:
        path: a file, or a URL where the decoder takes one.
        decoder: see :func:`candidates`.

    Raises:
        VideoError: none can. The message has what the last of them said, and does not name the file.
        ConfigError: no decoder has this name, or the one that is asked for is not installed.
    """
    for candidate in (names := candidates(decoder)):
        try:
            return DECODERS[candidate](path)
        except VideoError:
            if candidate == names[-1]:
                raise
    raise AssertionError("there is always a candidate")
