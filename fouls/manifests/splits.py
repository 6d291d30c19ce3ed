"""The names of splits: one spelling inside, the usual ones understood."""

from __future__ import annotations

import re

SPELLINGS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validate", "validation", "dev"),
    "test": ("test", "testing"),
    "challenge": ("challenge", "chall"),
}
"""Name in the manifest → what folders, lists and columns call it."""

_NAMES = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
_IN_FILE_NAME = re.compile(r"(?<![a-z])(train|valid|val|test)", re.IGNORECASE)


def canonical_split(text: str) -> str:
    """``Val`` → ``valid``, ``Training`` → ``train``, …; what is no usual spelling stays as it is."""
    return _NAMES.get(text.strip().lower(), text.strip())


def split_in_file_name(name: str) -> str | None:
    """The split that a list's name tells, at the start of a word: ``kinetics400_val_list_videos.txt`` → ``valid``.

    Returns:
        ``None`` where it tells none, or several.
    """
    found = {canonical_split(match) for match in _IN_FILE_NAME.findall(name)}
    return found.pop() if len(found) == 1 else None
