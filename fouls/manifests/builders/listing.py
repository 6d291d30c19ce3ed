"""What a builder is: a function from options to a listing of videos, which opens no video."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.class_names import ClassNames, read_class_names
from fouls.manifests.schema import is_url
from fouls.video.probe import Probe

DEFAULT_TASK = "action"
"""Task of a list's labels where no other name is given."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a manifest is built from. An option that a format does not read is an error, not ignored."""

    sources: tuple[Path, ...]
    """Folders or files."""
    roots: tuple[Path, ...] = ()
    """Folder below which relative paths lie: one for all sources, or one a source."""
    task: str | None = None
    """Name of the task that the labels are of."""
    label_from: str | None = None
    """Path part that is the class: ``parent`` or ``part:N``."""
    split_from: str | None = None
    """Path part that is the split: ``parent`` or ``part:N``."""
    splits: tuple[str, ...] = ()
    """Split of all sources, or one a source."""
    class_names: Mapping[str, Path] = field(default_factory=dict)
    """Task → file with one class name a line; the task ``""`` is the only one there is."""


OptionName = Literal["roots", "task", "label_from", "split_from", "splits", "class_names"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One video as a builder lists it."""

    path: str
    """Absolute, or a URL."""
    place: str
    """Where it is listed (file and line, or the file itself), for messages."""
    video_id: str | None = None
    """``None``: the path below the root, without its ending."""
    sample_id: str | None = None
    """``None``: the ``video_id``."""
    view: int = 0
    view_kind: str | None = None
    replay_speed: float | None = None
    split: str = ""
    start_frame: int | None = None
    stop_frame: int | None = None
    labels: Mapping[str, int | None] = field(default_factory=dict)
    known: Probe | None = None
    """What the source itself says about a video that can't be probed here (a URL)."""

    def __post_init__(self) -> None:
        if not 0 <= self.view < 2**15:
            raise ManifestError(f"{self.place}: view is {self.view}; allowed: 0 to {2**15 - 1}")
        start, stop = self.start_frame, self.stop_frame
        if start is not None and start < 0:
            raise ManifestError(f"{self.place}: start_frame is {start}; it must not be negative")
        if stop is not None and stop <= (start or 0):
            raise ManifestError(
                f"{self.place}: the segment [{start or 0}, {stop}) is empty; stop_frame must be greater"
            )


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a builder found."""

    rows: tuple[Row, ...]
    root: Path
    """Absolute; paths below it are written relative to it."""
    name: str
    """Name of the manifest where none is given."""
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Task → class names."""
    notes: tuple[str, ...] = ()
    """What was inferred, to be said to the user."""


@dataclass(frozen=True, kw_only=True)
class Builder:
    """A format that manifests are built from."""

    collect: Callable[[BuildOptions], Listing]
    """Lists the videos. Raises ConfigError or ManifestError."""
    reads: frozenset[OptionName]
    """The options that it reads beside ``sources``."""
    summary: str
    """One line of help."""


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
