"""Which files decoders that seek in their own way are trusted with.

decord 0.6 and torchcodec 0.17 hand out a neighbour of the frame that was asked for, and say nothing, where frames that
are stored after a key frame are shown before it (open groups of pictures: HEVC as x265 writes it by default), where
the format stores no times (AVI), and in MPEG transport streams. decord also believes a header that calls a frame a key
frame which is none, dies of one that counts too many frames, and has other colours where there is a palette, where
four rows share their chroma, and in samples of more than 8 bits. They are never asked in such a file; nor is decord
where turned pictures are to be scaled, which it does the other way round, nor torchcodec's decoding on GPUs where
pictures are to be turned at all, since that was never tried.
"""

from __future__ import annotations

from fouls.errors import VideoError
from fouls.video.frame_index import FrameIndex

SEEKABLE = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""Formats in which their first frame is the first frame, and the others follow as their times say."""
MISCOLOURED = frozenset({"pal8", "yuv410p"})
"""Pixel formats that decord's FFmpeg turns into RGB in another way: by 2 to 130 grey levels."""


class DistrustError(VideoError):
    """A decoder is not asked, or not believed. That says nothing against the file."""

    def __init__(self, decoder: str, reason: str) -> None:
        super().__init__("unreadable", f"{decoder} {reason}; --decoder pyav reads it", decoder=decoder)


def check_trust(index: FrameIndex, decoder: str, *, scales: bool = False) -> None:
    """Check, before a decoder opens a file, that it will give the frames that the index numbers.

    Args:
        index: of the file.
        decoder: its name.
        scales: whether it is to scale the pictures.

    Raises:
        DistrustError: it will not.
    """
    reason = _reason(index)
    if reason is None and decoder == "decord" and (index.bits > 8 or index.pix_fmt in MISCOLOURED):
        reason = f"has other colours in {index.pix_fmt}"
    if reason is None and decoder == "cuda" and index.rotation:
        reason = "is not relied on to turn pictures"
    if reason is None and scales and index.rotation:
        reason = "scales turned pictures in another way"
    if reason is not None:
        raise DistrustError(decoder, reason)


def check_count(index: FrameIndex, num_frames: int, decoder: str) -> None:
    """Check that a decoder counts the frames as the index does.

    Raises:
        DistrustError: it does not.
    """
    if num_frames != index.info.num_frames:
        raise DistrustError(decoder, f"counts {num_frames} frames where there are {index.info.num_frames}")


def _reason(index: FrameIndex) -> str | None:
    if index.container not in SEEKABLE:
        return f"loses frames in {index.container}"
    if index.declared_frames not in (0, index.info.num_frames):
        return f"believes a header with {index.declared_frames} frames where there are {index.info.num_frames}"
    if index.timestamps is None:
        return "mixes up frames in a file that does not say when they are shown"
    if index.has_open_groups:
        return "mixes up frames in a file with open groups of pictures"
    return None
