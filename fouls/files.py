"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from fouls.objects.location import Location
from fouls.objects.paths import ObjectPath

PARTIAL_SUFFIX = ".partial"
"""Ending of a file that is being written; zarr's local store uses the same."""


def write_atomically(path: Location, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.

    The bytes are on the disk when this returns: whoever marks work as done may do so now. On object storage that is
    what a PUT does.
    """
    if isinstance(path, ObjectPath):
        path.write_bytes(data)
        return
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync(path: Location) -> None:
    """Flush a file that somebody else has written, and its entry in the folder, to the disk."""
    if isinstance(path, ObjectPath):
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partial_files(folder: Location) -> int:
    """Remove what writers that were killed left half-written below a folder; only safe while nobody writes.

    Returns:
        How many files were removed. On object storage nothing is ever half-written.
    """
    if isinstance(folder, ObjectPath):
        return 0
    removed = 0
    for leftover in list(folder.rglob(f"*{PARTIAL_SUFFIX}")):
        with suppress(OSError):  # what can't be removed does no harm, and whoever writes next meets the reason
            leftover.unlink()
            removed += 1
    return removed


def names_in(folder: Location) -> list[str]:
    """The names right below a folder; none where there is no folder."""
    if isinstance(folder, ObjectPath):
        return [path.name for path in folder.iterdir()]
    return os.listdir(folder) if folder.is_dir() else []


def move(source: Location, target: Location) -> None:
    """Give a file another name, in the same folder or bucket."""
    if isinstance(source, ObjectPath):
        assert isinstance(target, ObjectPath)
        source.rename(target)
    else:
        source.rename(str(target))
