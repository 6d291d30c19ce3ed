"""File names for videos whose ids come from anywhere."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MAX_LENGTH = 80
"""Characters: with its ending a name fits into every file system and every kind of tar header."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""What Windows takes for devices."""


def file_names(video_ids: Sequence[str]) -> dict[str, str]:
    """A name for each video: letters, digits, ``_`` and ``-`` alone, none twice, whatever the ids are.

    ``train/Surfing/v_01`` becomes ``train-Surfing-v_01``; where two ids would become one name (in a file system that
    does not tell capitals apart), a part of the id's SHA-256 is added to both.

    Args:
        video_ids: none twice.
    """
    digits = dict.fromkeys(video_ids, 0)
    while True:
        names = {video_id: _name(video_id, some) for video_id, some in digits.items()}
        counts = Counter(name.casefold() for name in names.values())
        taken = [video_id for video_id, name in names.items() if counts[name.casefold()] > 1 and digits[video_id] < 64]
        if not taken:
            return names
        digits.update({video_id: 16 if digits[video_id] == 0 else 64 for video_id in taken})


def _name(video_id: str, digits: int) -> str:
    plain = _UNSAFE.sub("-", video_id).strip("-") or "video"
    if plain.casefold() in _RESERVED:
        plain = f"video-{plain}"
    if not digits:
        return plain[:MAX_LENGTH]
    digest = hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[: MAX_LENGTH - digits - 1]}-{digest[:digits]}"
