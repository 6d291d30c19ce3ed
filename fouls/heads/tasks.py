"""Tasks: what heads learn. One labelling problem each, read off the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from fouls.errors import ConfigError, RunError
from fouls.manifests.schema import FRAME_LABEL_PREFIX, LABEL_PREFIX
from fouls.manifests.table import tasks_of


@dataclass(frozen=True, kw_only=True)
class Task:
    """One labelling problem."""

    name: str
    classes: tuple[str, ...]
    """Names, in the order of the indices."""
    per_frame: bool = False
    """A class a frame, instead of one a sample."""
    multi_label: bool = False
    """Any number of classes a sample, instead of one."""

    @property
    def column(self) -> str:
        """The manifest's column with its labels."""
        return (FRAME_LABEL_PREFIX if self.per_frame else LABEL_PREFIX) + self.name

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise ConfigError(f"task {self.name!r} has {len(self.classes)} class(es); a head needs 2 at least")


def tasks_to_train(manifest: pa.Table, names: Sequence[str] = ()) -> tuple[Task, ...]:
    """The tasks of a manifest, in its order.

    Args:
        manifest: a validated manifest.
        names: narrows them; empty: all.

    Raises:
        ConfigError: a name that the manifest does not have, or a task with one class.
        RunError: the manifest has no tasks.
    """
    known = tasks_of(manifest)
    if not known:
        raise RunError(
            "the manifest has no labels: build one with them, such as "
            "`fouls manifest build SOURCE --format videos --task NAME --label-from parent`"
        )
    for name in names:
        if name not in known:
            raise ConfigError(f"task {name!r} is not in the manifest; it has {', '.join(known)}")
    return tuple(
        Task(name=name, classes=tuple(classes), per_frame=is_per_frame(manifest, name))
        for name, classes in known.items()
        if not names or name in names
    )


def is_per_frame(manifest: pa.Table, name: str) -> bool:
    """Whether a task labels frames. One that labels both videos and frames counts as one of videos."""
    return LABEL_PREFIX + name not in manifest.column_names and FRAME_LABEL_PREFIX + name in manifest.column_names
