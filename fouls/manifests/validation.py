"""Is this table a manifest? Every complaint names file, row, column and value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc

from fouls.errors import ManifestError
from fouls.manifests.complaints import complain
from fouls.manifests.keypoints import check_keypoints
from fouls.manifests.label_checks import check_labels, check_samples
from fouls.manifests.paths import stands_alone
from fouls.manifests.schema import (
    BASE_FIELDS,
    FRAME_LABEL_PREFIX,
    FRAME_LABEL_TYPE,
    KEYPOINTS_COLUMN,
    LABEL_PREFIX,
    LABEL_TYPE,
    MAX_CLASSES,
    MULTI_LABEL_PREFIX,
    MULTI_LABEL_TYPE,
    ROOT_KEY,
    SCHEMA_VERSION,
    TASKS_KEY,
    VERSION_KEY,
    check_task_names,
)

__all__ = ["check_samples", "check_unique", "check_version", "validate"]

_PREFIXES = (LABEL_PREFIX, MULTI_LABEL_PREFIX, FRAME_LABEL_PREFIX)
_BASE_TYPES = {field.name: field.type for field in BASE_FIELDS}
_NOT_NULL = tuple(field.name for field in BASE_FIELDS if not field.nullable)
_NOT_NEGATIVE = ("view", "start_frame", "num_frames", "width", "height", "fps", "duration_seconds", "size_bytes")
_NOT_EMPTY = ("video_id", "sample_id", "path")


def validate(table: pa.Table, source: str = "manifest") -> None:
    """Check a table against the schema.

    Args:
        table: what :func:`fouls.manifests.table.read_manifest` gives.
        source: the file it is from, for the messages.

    Raises:
        ManifestError: on the first fault found, with file, row (0-based), column and value.
    """
    tasks = _check_metadata(table, source)
    _check_columns(table, tasks, source)
    _check_values(table, source)
    _check_segments(table, source)
    _check_paths(table, source)
    check_labels(table, tasks, source)
    check_keypoints(table, source)
    check_unique(table, source)
    check_samples(table, source)


def check_version(metadata: Mapping[bytes, bytes] | None, source: str) -> None:
    """Refuse what is no manifest, or one of a newer version.

    Raises:
        ManifestError: so it is.
    """
    version = (metadata or {}).get(VERSION_KEY, b"").decode(errors="replace")
    if not version.isdecimal():
        raise ManifestError(
            f"{source}: not a manifest (its metadata has no {VERSION_KEY.decode()}); `fouls manifest build` makes one"
        )
    if int(version) > SCHEMA_VERSION:
        raise ManifestError(
            f"{source}: manifest version {version}, this fouls reads up to {SCHEMA_VERSION}; install a newer fouls"
        )


def _check_metadata(table: pa.Table, source: str) -> dict[str, list[str]]:
    metadata = table.schema.metadata or {}
    check_version(metadata, source)
    try:
        tasks = json.loads(metadata.get(TASKS_KEY, b""))
    except ValueError as error:
        raise ManifestError(f"{source}: metadata {TASKS_KEY.decode()} is not JSON: {error}") from error
    if not isinstance(tasks, dict):
        raise ManifestError(f"{source}: metadata {TASKS_KEY.decode()} is {tasks!r}, not {{task: [class names]}}")
    check_task_names(tasks)
    for task, names in tasks.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ManifestError(f"{source}: task {task!r}: class names are {names!r}, not a list of names")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ManifestError(f"{source}: task {task!r}: class {twice!r} is named twice")
        if len(names) > MAX_CLASSES:
            raise ManifestError(f"{source}: task {task!r} has {len(names)} classes; at most {MAX_CLASSES}")
    return tasks


def _check_columns(table: pa.Table, tasks: Mapping[str, Sequence[str]], source: str) -> None:
    types = dict(_BASE_TYPES)
    types |= {LABEL_PREFIX + task: LABEL_TYPE for task in tasks}
    types |= {MULTI_LABEL_PREFIX + task: MULTI_LABEL_TYPE for task in tasks}
    types |= {FRAME_LABEL_PREFIX + task: FRAME_LABEL_TYPE for task in tasks}
    for name in table.column_names:
        if name == KEYPOINTS_COLUMN:
            continue  # check_keypoints knows its type
        if table.column_names.count(name) > 1:
            raise ManifestError(f"{source}: column {name!r} is there twice")
        if name not in types:
            known = ", ".join([*_BASE_TYPES, *(LABEL_PREFIX + task for task in tasks)])
            raise ManifestError(f"{source}: unknown column {name!r}; known: {known}")
        if table.schema.field(name).type != types[name]:
            raise ManifestError(
                f"{source}: column {name!r} is {table.schema.field(name).type}; it must be {types[name]}"
            )
    for name in _BASE_TYPES:
        if name not in table.column_names:
            raise ManifestError(f"{source}: column {name!r} is missing")
    for task in tasks:
        kinds = [prefix for prefix in _PREFIXES if prefix + task in table.column_names]
        if LABEL_PREFIX in kinds and MULTI_LABEL_PREFIX in kinds:
            raise ManifestError(
                f"{source}: task {task!r} has columns {LABEL_PREFIX + task!r} and {MULTI_LABEL_PREFIX + task!r}; a "
                "video has one label or any number of them"
            )
        if not kinds:
            raise ManifestError(f"{source}: task {task!r} has class names, but no column {LABEL_PREFIX + task!r}")


def _check_values(table: pa.Table, source: str) -> None:
    for name in _NOT_NULL:
        complain(table, pc.is_null(table[name]), name, source, "is not allowed")
    for name in _NOT_EMPTY:
        complain(table, pc.equal(table[name], ""), name, source, "is empty")
    for name in _NOT_NEGATIVE:
        complain(table, pc.less(table[name], 0), name, source, "is negative")
    probed = pc.is_null(table["probe_error"])
    for name in ("num_frames", "fps"):
        missing = pc.and_(probed, pc.is_null(table[name]))
        complain(table, missing, name, source, "where no probe_error says why it is unknown")


def _check_segments(table: pa.Table, source: str) -> None:
    start, stop = table["start_frame"], table["stop_frame"]
    rule = "is not below stop_frame: a segment is [start_frame, stop_frame)"
    complain(table, pc.greater_equal(pc.fill_null(start, 0), stop), "start_frame", source, rule)
    probed = pc.is_null(table["probe_error"])
    beyond = pc.and_(probed, pc.greater(stop, table["num_frames"]))
    complain(table, beyond, "stop_frame", source, "is greater than num_frames")
    beyond = pc.and_(probed, pc.greater_equal(start, table["num_frames"]))
    complain(table, beyond, "start_frame", source, "is not below num_frames")


def _check_paths(table: pa.Table, source: str) -> None:
    if ROOT_KEY in table.schema.metadata:
        root = table.schema.metadata[ROOT_KEY].decode()
        if not PurePath(root).is_absolute():
            raise ManifestError(f"{source}: metadata {ROOT_KEY.decode()} is {root!r}; it must be an absolute folder")
        return
    rule = f"is relative, but the metadata has no {ROOT_KEY.decode()}"
    complain(table, pc.invert(stands_alone(table["path"])), "path", source, rule)


def check_unique(table: pa.Table, source: str) -> None:
    """Each ``video_id`` stands once.

    Raises:
        ManifestError: names both rows.
    """
    if pc.count_distinct(table["video_id"]).as_py() == table.num_rows:
        return
    seen: dict[str, int] = {}
    for row, video_id in enumerate(table["video_id"].to_pylist()):
        if video_id in seen:
            raise ManifestError(f"{source}: row {row}, column 'video_id': {video_id!r} is in row {seen[video_id]} too")
        seen[video_id] = row
