"""Where the clips of Kinetics lie: copies differ in folders (a class, a split, none) and in names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.media_files import media_files
from fouls.manifests.splits import canonical_split, split_in_file_name


class ClipFiles:
    """The media files below a folder, by name without ending. Looks through the folder once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, list[Path]] = {}
        if root.is_dir():
            for file in media_files(root):
                self._files.setdefault(file.stem, []).append(file)

    def find(self, stems: Sequence[str], label: str, split: str, place: str) -> str:
        """The file of a clip, as an absolute path; where there is none, the one that it should be.

        Of several files the one counts whose folders name the clip's class and split.

        Args:
            stems: names without ending that the file may have, the likeliest first.
            label: the class's name, ``""`` for none.
            split: the split's name, ``""`` for none.
            place: file and line, for messages.

        Raises:
            ManifestError: two files fit equally well.
        """
        files = next((self._files[stem] for stem in stems if stem in self._files), [])
        if not files:
            return os.path.join(self._root, label, f"{stems[0]}.mp4")
        fits = [_fit(file.relative_to(self._root).parts[:-1], label, split) for file in files]
        best = [file for file, fit in zip(files, fits, strict=True) if fit == max(fits)]
        if len(best) > 1:
            raise ManifestError(
                f"{place}: two files for this clip, {best[0]} and {best[1]}; remove one, or give --root"
            )
        return str(best[0])


def _fit(folders: Sequence[str], label: str, split: str) -> int:
    """How many of class and split the folders name."""
    has_label = label != "" and _plain(label) in map(_plain, folders)
    has_split = split != "" and any(split in (canonical_split(name), split_in_file_name(name)) for name in folders)
    return has_label + has_split


def _plain(name: str) -> str:
    """Copies write ``air_drumming`` for ``air drumming``."""
    return name.replace("_", " ").casefold()
