"""Tasks: what heads learn. One labelling problem each, read off the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from fouls.errors import ConfigError, RunError
from fouls.manifests.schema import TaskKind
from fouls.manifests.table import kind_of, tasks_of


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
        return f"{self.kind}.{self.name}"

    @property
    def kind(self) -> TaskKind:
        """What its labels are of, as :func:`fouls.manifests.table.kind_of` says it."""
        return "frame_label" if self.per_frame else "multi_label" if self.multi_label else "label"

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
        Task(
            name=name,
            classes=tuple(classes),
            per_frame=kind_of(manifest, name) == "frame_label",
            multi_label=kind_of(manifest, name) == "multi_label",
        )
        for name, classes in known.items()
        if not names or name in names
    )
