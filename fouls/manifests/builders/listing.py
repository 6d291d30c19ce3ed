"""What a builder is: a function from options to a listing of videos, which opens no video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fouls.errors import ManifestError
from fouls.manifests.keypoints import Keypoints
from fouls.manifests.schema import TaskKind
from fouls.video.probe import Probe
from fouls.video.types import VideoInfo


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
    multi_label: bool = False
    """Whether a video may have any number of labels."""
    label_set: str | None = None
    """Which of the label sets that a data set is published with."""
    trial_frames: int | None = None
    """Frames of a trial, of which a video has one after another."""
    frame_offset: int | None = None
    """Frame of its trial that a file's first label is of."""
    merges: tuple[str, ...] = ()
    """Classes that become one: ``[NAME=]CLASS,CLASS,…``, by index or name."""
    keypoints: tuple[str, ...] = ()
    """Names of keypoints, in the order in which the manifest shall hold them."""


OptionName = Literal[
    "roots",
    "task",
    "label_from",
    "split_from",
    "splits",
    "class_names",
    "multi_label",
    "label_set",
    "trial_frames",
    "frame_offset",
    "merges",
    "keypoints",
]


Labels = int | Sequence[int] | None
"""What a row says of a task: the index of a class; indices, ascending, each once; or a class a native frame from 0 on,
-1 where there is none. ``None``: no label."""


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
    labels: Mapping[str, Labels] = field(default_factory=dict)
    """Task → labels, as its kind in the listing says."""
    keypoints: Keypoints | None = None
    """(F, K, 3) from native frame 0 on, x and y as shares of width and height."""
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
    kinds: Mapping[str, TaskKind] = field(default_factory=dict)
    """Task → kind, for those that have not one label a video."""
    keypoints: tuple[str, ...] = ()
    """Names of the keypoints of each frame, in their order."""
    notes: tuple[str, ...] = ()
    """What was inferred, to be said to the user."""
    settle: Callable[[Mapping[str, VideoInfo]], Listing] | None = None
    """Where rows depend on what their videos are: from path → what the probe found, for those that it could read, the
    listing that holds then, with the same videos in the same order."""

    def kind_of(self, task: str) -> TaskKind:
        """What a task's labels are of."""
        return self.kinds.get(task, "label")


@dataclass(frozen=True, kw_only=True)
class Builder:
    """A format that manifests are built from."""

    collect: Callable[[BuildOptions], Listing]
    """Lists the videos. Raises ConfigError or ManifestError."""
    reads: frozenset[OptionName]
    """The options that it reads beside ``sources``."""
    summary: str
    """One line of help."""
