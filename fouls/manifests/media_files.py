"""Which files are videos, by their ending."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# fmt: off
MEDIA_ENDINGS = frozenset([
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
])
# fmt: on
"""Lower case; files may write them as they like."""


def is_media_file(name: str) -> bool:
    """Whether a file name ends like a video. Hidden files don't count (``._clip.mp4`` is no video)."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in MEDIA_ENDINGS


def media_files(folder: Path) -> Iterator[Path]:
    """Every media file below a folder, sorted by path part; links to folders are followed, each folder once."""
    yield from _walk(folder, {os.path.realpath(folder)})


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            real = os.path.realpath(entry.path)
            if real not in seen:
                seen.add(real)
                yield from _walk(folder / entry.name, seen)
        elif entry.is_file() and is_media_file(entry.name):
            yield folder / entry.name
