"""Several manifests as one: what differs is brought together, what contradicts is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from fouls.errors import ManifestError
from fouls.manifests.keypoints import keypoints_of
from fouls.manifests.label_checks import check_samples
from fouls.manifests.paths import resolved_paths
from fouls.manifests.schema import (
    ROOT_KEY,
    TASKS_KEY,
    frame_label_tasks,
    label_tasks,
    manifest_schema,
    multi_label_tasks,
)


def merge_tables(tables: Sequence[pa.Table], sources: Sequence[str]) -> pa.Table:
    """Concatenate validated manifests.

    Args:
        tables: one a file, in the order in which their rows shall stand.
        sources: the files they are from, for the messages.

    Returns:
        One table. Where the roots differ it has none, and the paths are absolute; a column of labels or keypoints
        that a file lacks is null there.

    Raises:
        ManifestError: a task has other class names or another kind in another file, the keypoints are others, or a
            ``video_id`` stands in two files; both are named.
    """
    tasks = _merge_tasks(tables, sources)
    _check_unique(tables, sources)
    roots = {table.schema.metadata.get(ROOT_KEY) for table in tables}
    root = roots.pop() if len(roots) == 1 else None
    if root is None:
        tables = [_with_absolute_paths(table) for table in tables]
    names = [name for table in tables for name in table.column_names]
    schema = manifest_schema(
        tasks,
        root=None if root is None else root.decode(),
        labels=label_tasks(names),
        multi_labels=multi_label_tasks(names),
        frame_labels=frame_label_tasks(names),
        keypoints=_merge_keypoints(tables, sources),
    )
    merged = pa.concat_tables([_fitted(table, schema) for table in tables])
    check_samples(merged, " + ".join(sources))
    return merged


def _merge_tasks(tables: Sequence[pa.Table], sources: Sequence[str]) -> dict[str, list[str]]:
    tasks: dict[str, list[str]] = {}
    homes: dict[str, str] = {}
    for table, source in zip(tables, sources, strict=True):
        for task, names in json.loads(table.schema.metadata[TASKS_KEY]).items():
            if tasks.setdefault(task, names) != names:
                raise ManifestError(
                    f"task {task!r} has {_difference(tasks[task], names)} ({homes[task]} and {source}): build them "
                    "with the same --class-names, or with another --task, or keep them in different folders"
                )
            homes.setdefault(task, source)
    _check_kinds(tables, sources)
    return tasks


def _check_kinds(tables: Sequence[pa.Table], sources: Sequence[str]) -> None:
    """A task has one label a video in all files, or any number in all."""
    homes = {
        task: source for table, source in zip(tables, sources, strict=True) for task in label_tasks(table.column_names)
    }
    for table, source in zip(tables, sources, strict=True):
        for task in multi_label_tasks(table.column_names):
            if task in homes:
                raise ManifestError(
                    f"task {task!r} has one label a video in {homes[task]} and any number in {source}: build one of "
                    "them with another --task, or keep them in different folders"
                )


def _merge_keypoints(tables: Sequence[pa.Table], sources: Sequence[str]) -> tuple[str, ...]:
    """The names of the keypoints of the files that have any."""
    found = {keypoints_of(table): source for table, source in zip(tables, sources, strict=True) if keypoints_of(table)}
    if len(found) > 1:
        (names, source), (others, other_source), *_ = found.items()
        raise ManifestError(
            f"keypoints are {', '.join(names)} in {source} and {', '.join(others)} in {other_source}: build them with "
            "the same --keypoints, or keep them in different folders"
        )
    return next(iter(found), ())


def _difference(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"{len(names)} classes in one manifest and {len(others)} in another"
    index = next(index for index, pair in enumerate(zip(names, others, strict=True)) if pair[0] != pair[1])
    return f"class {index} {names[index]!r} in one manifest and {others[index]!r} in another"


def _check_unique(tables: Sequence[pa.Table], sources: Sequence[str]) -> None:
    names = pa.chunked_array([chunk for table in tables for chunk in table["video_id"].chunks], pa.string())
    if pc.count_distinct(names).as_py() == len(names):
        return
    homes: dict[str, str] = {}
    for table, source in zip(tables, sources, strict=True):
        for video_id in table["video_id"].to_pylist():
            home = homes.setdefault(video_id, source)
            if home != source:
                raise ManifestError(
                    f"video_id {video_id!r} is in {home} and in {source}: read one of these files alone, or keep "
                    "them in different folders"
                )


def _with_absolute_paths(table: pa.Table) -> pa.Table:
    index = table.schema.get_field_index("path")
    return table.set_column(index, table.schema.field("path"), resolved_paths(table))


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
