"""The decoders by name, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable

from fouls.errors import ConfigError
from fouls.video.cuda_reader import CudaReader
from fouls.video.decord_reader import DecordReader
from fouls.video.pyav_reader import PyavReader
from fouls.video.torchcodec_reader import TorchcodecReader
from fouls.video.types import VideoReader

DECODERS: dict[str, Callable[[str, int | None], VideoReader]] = {
    "pyav": PyavReader,
    "decord": DecordReader,
    "torchcodec": TorchcodecReader,
    "cuda": CudaReader,
}
SCALE_ALIKE = frozenset({"decord", "pyav"})
"""Decoders whose scaled pictures are the same, bit by bit."""


def candidates(decoder: str, short_side: int | None = None) -> tuple[str, ...]:
    """The decoders to try, in this order: what is named, and PyAV too for what a GPU can't decode.

    ``auto`` is PyAV alone. decord was slower in every file that was tried, reads nothing else that counts, and brings
    an FFmpeg of 2021 to files that are anybody's.

    Args:
        decoder: its name, or ``auto``; ``cuda`` may be followed by a GPU's number, ``cuda:1``.
        short_side: to which pictures are to be scaled down; ``None``: not.

    Raises:
        ConfigError: no decoder has this name, or the one that has does not scale as the others do.
    """
    if decoder == "auto":
        return ("pyav",)
    name, colon, number = decoder.partition(":")
    if name not in DECODERS or (colon and not (name == CudaReader.decoder and number.isdecimal())):
        raise ConfigError(f"decoder is {decoder!r}; allowed: auto, {', '.join(DECODERS)}")
    if short_side is not None and name not in SCALE_ALIKE:
        raise ConfigError(
            f"decoder {name!r} has other pixels where it scales (--decode-resize {short_side}): use --decoder auto, "
            f"{' or '.join(sorted(SCALE_ALIKE))}"
        )
    return (decoder, "pyav") if name == CudaReader.decoder else (decoder,)


def decoder_beside(decoder: str, device: str) -> str:
    """The decoder on the GPU of a backbone, ``cuda:1`` for ``cuda`` beside ``cuda:1``; any other as it is."""
    return device if decoder == CudaReader.decoder and device.startswith(CudaReader.decoder) else decoder


def open_video(path: str, decoder: str = "auto", short_side: int | None = None) -> VideoReader:
    """Open a video with one decoder, the first of the :func:`candidates`.

    Args:
        path: a file, or a URL where the decoder takes one.
        decoder: see :func:`candidates`.
        short_side: to which pictures are scaled as they are decoded, see ``scaling.py``; ``None``: not at all.

    Raises:
        VideoError: it can't. The message does not name the file.
        ConfigError: no decoder has this name, the one that has can't be used here, or it does not scale as others do.
    """
    first = candidates(decoder, short_side)[0]
    name, _, number = first.partition(":")
    return CudaReader(path, short_side, device=first) if number else DECODERS[name](path, short_side)
