"""Several manifests as one: what differs is brought together, what contradicts is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import pyarrow as pa

from fouls.errors import ManifestError
from fouls.manifests.schema import ROOT_KEY, TASKS_KEY, frame_label_tasks, is_url, label_tasks, manifest_schema
from fouls.manifests.validation import check_samples


def merge_tables(tables: Sequence[pa.Table], sources: Sequence[str]) -> pa.Table:
    """Concatenate validated manifests.

    Args:
        tables: one a file, in the order in which their rows shall stand.
        sources: the files they are from, for the messages.

    Returns:
        One table. Where the roots differ it has none, and the paths are absolute; a label column that a file lacks
        is null there.

    Raises:
        ManifestError: a task has other class names in another file, or a ``video_id`` stands in two files; both are
            named.
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
        frame_labels=frame_label_tasks(names),
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
    return tasks


def _difference(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"{len(names)} classes in one manifest and {len(others)} in another"
    index = next(index for index, pair in enumerate(zip(names, others, strict=True)) if pair[0] != pair[1])
    return f"class {index} {names[index]!r} in one manifest and {others[index]!r} in another"


def _check_unique(tables: Sequence[pa.Table], sources: Sequence[str]) -> None:
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
    root = table.schema.metadata.get(ROOT_KEY)
    if root is None:
        return table
    paths = [path if is_url(path) else os.path.join(root.decode(), path) for path in table["path"].to_pylist()]
    index = table.schema.get_field_index("path")
    return table.set_column(index, table.schema.field("path"), pa.array(paths, pa.string()))


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
