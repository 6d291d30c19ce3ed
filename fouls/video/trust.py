"""Which files decoders that seek in their own way are trusted with.

decord 0.6 and torchcodec 0.17 hand out a neighbour of the frame that was asked for, and say nothing, where frames that
are stored after a key frame are shown before it (open groups of pictures: HEVC as x265 writes it by default), where
the format stores no times (AVI with B-frames), and in MPEG transport streams. They are never asked in such a file.
"""

from __future__ import annotations

from fouls.errors import VideoError
from fouls.video.frame_index import FrameIndex

SEEKABLE = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})
"""Formats in which their first frame is the first frame."""


def check_trust(index: FrameIndex, num_frames: int, decoder: str) -> None:
    """Check that a decoder will give the frames that the index numbers.

    Args:
        index: of the file.
        num_frames: as the decoder counts them.
        decoder: its name.

    Raises:
        VideoError: ``unreadable``, by this decoder.
    """
    reason = _reason(index, num_frames)
    if reason is not None:
        raise VideoError("unreadable", f"{decoder} {reason}; --decoder pyav reads it", decoder=decoder)


def _reason(index: FrameIndex, num_frames: int) -> str | None:
    if index.container not in SEEKABLE:
        return f"loses frames in {index.container}"
    if num_frames != index.info.num_frames:
        return f"counts {num_frames} frames where there are {index.info.num_frames}"
    if index.timestamps is None:
        return "mixes up frames in a file that does not say when they are shown"
    if index.has_open_groups:
        return "mixes up frames in a file with open groups of pictures"
    return None
