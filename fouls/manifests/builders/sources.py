"""What builders ask of their sources, and of the options that are given once, or once a source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.class_names import ClassNames, read_class_names
from fouls.manifests.schema import is_url
from fouls.manifests.splits import canonical_split, split_in_file_name


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder above all of these absolute folders."""
    return Path(os.path.commonpath([str(path) for path in paths]))


def absolute(path: Path) -> Path:
    """Absolute, with ``..`` taken out; links stay, since they may be how a data set is laid out."""
    return Path(os.path.abspath(path))


_T = TypeVar("_T")


def one_for_each(values: Sequence[_T], options: BuildOptions, flag: str) -> list[_T] | None:
    """Spread an option that is given once, or once a source.

    Raises:
        ConfigError: given another number of times.
    """
    if not values:
        return None
    if len(values) not in (1, len(options.sources)):
        raise ConfigError(f"{flag} is given {len(values)} times for {len(options.sources)} sources; once, or once each")
    return list(values) * len(options.sources) if len(values) == 1 else list(values)


def root_folders(options: BuildOptions) -> list[Path] | None:
    """The ``--root`` of each source.

    Raises:
        ConfigError: one is not a folder, or their number does not fit.
    """
    for root in options.roots:
        if not root.is_dir():
            raise ConfigError(f"--root {root}: no such folder")
    return one_for_each([absolute(root) for root in options.roots], options, "--root")


def resolved(path: str, root: Path) -> str:
    """A listed path as an absolute one; URLs pass through."""
    return path if is_url(path) else os.path.abspath(os.path.join(root, path))


def class_names_of(task: str, tasks: Sequence[str], options: BuildOptions) -> ClassNames | None:
    """The ``--class-names`` of one of the tasks; ``None`` where there is none.

    Raises:
        ConfigError: given for a task that is not there, or for no task by name where there are several.
        ManifestError: the file can't be read.
    """
    for name in options.class_names:
        if name and name not in tasks:
            raise ConfigError(f"--class-names {name}=…: no such task; there is: {', '.join(tasks) or 'none'}")
        if not name and len(tasks) != 1:
            raise ConfigError(f"--class-names FILE needs one task; there is: {', '.join(tasks) or 'none'}")
    path = options.class_names.get(task, options.class_names.get("") if len(tasks) == 1 else None)
    return None if path is None else read_class_names(path)


def read_lines(path: Path) -> list[str]:
    """The lines of a text source.

    Raises:
        ManifestError: it is not there, not a file, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: can't be read ({error})") from error


def name_of(sources: Sequence[Path]) -> str:
    """The manifest's name where none is given: the source's, or that of the folder of all sources.

    Args:
        sources: absolute files.
    """
    return sources[0].stem if len(sources) == 1 else common_folder(source.parent for source in sources).name


def splits_of(options: BuildOptions) -> tuple[list[str], tuple[str, ...]]:
    """The split of each source, ``""`` for none: given, or read from the file's name; and notes on what was read.

    Raises:
        ConfigError: ``--split`` is given another number of times.
    """
    given = one_for_each([canonical_split(split) for split in options.splits], options, "--split")
    if given is not None:
        return given, ()
    splits, notes = [], []
    for source in options.sources:
        split = split_in_file_name(source.name)
        splits.append(split or "")
        notes.append(
            f"{source.name}: no split in its name, so its rows have none; --split NAME sets it"
            if split is None
            else f"{source.name}: split {split!r}, read from its name; --split NAME sets another"
        )
    return splits, tuple(notes)
