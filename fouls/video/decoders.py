"""The decoders by name, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from fouls.errors import ConfigError, VideoError
from fouls.video.decord_reader import DecordReader
from fouls.video.pyav_reader import PyavReader
from fouls.video.torchcodec_reader import TorchcodecReader
from fouls.video.types import VideoReader

DECODERS: dict[str, Callable[[str, int | None], VideoReader]] = {
    "decord": DecordReader,
    "pyav": PyavReader,
    "torchcodec": TorchcodecReader,
}
SCALE_ALIKE = frozenset({"decord", "pyav"})
"""Decoders whose scaled pictures are the same, bit by bit."""


def candidates(decoder: str, short_side: int | None = None) -> tuple[str, ...]:
    """The decoders to try, in this order: what is named, or with ``auto`` decord, where it is installed, then PyAV.

    Args:
        decoder: its name, or ``auto``.
        short_side: to which pictures are to be scaled down; ``None``: not.

    Raises:
        ConfigError: no decoder has this name, or the one that has does not scale as the others do.
    """
    if decoder == "auto":
        return ("decord", "pyav") if find_spec("decord") else ("pyav",)
    if decoder not in DECODERS:
        raise ConfigError(f"decoder is {decoder!r}; allowed: auto, {', '.join(DECODERS)}")
    if short_side is not None and decoder not in SCALE_ALIKE:
        raise ConfigError(
            f"decoder {decoder!r} has other pixels where it scales (--decode-resize {short_side}): use --decoder auto, "
            f"{' or '.join(sorted(SCALE_ALIKE))}"
        )
    return (decoder,)


def open_video(path: str, decoder: str = "auto", short_side: int | None = None) -> VideoReader:
    """Open a video with the first candidate that can.

    Args:
        path: a file, or a URL where the decoder takes one.
        decoder: see :func:`candidates`.
        short_side: to which pictures are scaled as they are decoded, see ``scaling.py``; ``None``: not at all.

    Raises:
        VideoError: none can. The message has what the last of them said, and does not name the file.
        ConfigError: no decoder has this name, the one that has is not installed, or it does not scale as others do.
    """
    for candidate in (names := candidates(decoder, short_side)):
        try:
            return DECODERS[candidate](path, short_side)
        except VideoError:
            if candidate == names[-1]:
                raise
    raise AssertionError("there is always a candidate")
