"""The manifest's columns, in one place: one Parquet schema with a version. Labels are columns, class names metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import pyarrow as pa

from fouls.errors import ManifestError

SCHEMA_VERSION = 1
"""Grows when a reader of the version before could misread the file."""

VERSION_KEY = b"fouls.manifest_version"
ROOT_KEY = b"fouls.root"
"""Absolute folder below which relative paths lie; absent where every path is absolute or a URL."""
TASKS_KEY = b"fouls.tasks"
"""JSON ``{task: [class names, in the order of their indices]}``."""

KEYPOINTS_KEY = b"fouls.keypoints"
"""JSON ``[names, in the order in which a frame holds them]``; absent where there are no keypoints."""

TaskKind = Literal["label", "multi_label", "frame_label"]
"""A class a video, any number of classes a video, a class a frame; the column of a task is ``kind.task``."""

LABEL_PREFIX = "label."
MULTI_LABEL_PREFIX = "multi_label."
FRAME_LABEL_PREFIX = "frame_label."
LABEL_TYPE = pa.int16()
MULTI_LABEL_TYPE = pa.list_(pa.int16())
FRAME_LABEL_TYPE = pa.list_(pa.int16())
KEYPOINTS_COLUMN = "frame_keypoints"
MAX_CLASSES = 2**15
"""What an int16 label can tell apart."""
IGNORED_FRAME = -1
"""A frame label that counts for nothing."""

BASE_FIELDS: tuple[pa.Field, ...] = (
    pa.field("video_id", pa.string(), nullable=False),
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("view", pa.int16(), nullable=False),
    pa.field("view_kind", pa.string()),
    pa.field("replay_speed", pa.float32()),
    pa.field("path", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("start_frame", pa.int64()),
    pa.field("stop_frame", pa.int64()),
    pa.field("num_frames", pa.int64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("fps", pa.float64()),
    pa.field("duration_seconds", pa.float64()),
    pa.field("codec", pa.string()),
    pa.field("size_bytes", pa.int64()),
    pa.field("modified_ns", pa.int64()),
    pa.field("content_hash", pa.string()),
    pa.field("probe_error", pa.string()),
)
"""Every manifest has these, in this order; then a column for each task, then the keypoints, where there are any.
``modified_ns`` is the file's mtime, by which a rebuild sees what changed."""

PROBE_COLUMNS = tuple(field.name for field in BASE_FIELDS[9:])
"""What the probe finds, not the builder."""

URL_PATTERN = r"[A-Za-z][A-Za-z0-9+.-]*://"
"""How a ``path`` that is a URL begins."""

_TASK_NAME = re.compile(r"[\w.-]+")


def manifest_schema(
    tasks: Mapping[str, Sequence[str]],
    *,
    root: str | None = None,
    labels: Collection[str] | None = None,
    multi_labels: Collection[str] = (),
    frame_labels: Collection[str] = (),
    keypoints: Sequence[str] = (),
) -> pa.Schema:
    """The Arrow schema of a manifest.

    Args:
        tasks: task → class names, in the order of their indices.
        root: absolute folder below which relative paths lie.
        labels: tasks with one label a video; ``None``: all that are not in ``multi_labels`` or ``frame_labels``.
        multi_labels: tasks with any number of labels a video.
        frame_labels: tasks with a label a frame.
        keypoints: the names of the keypoints of each frame; empty: no such column.

    Raises:
        ManifestError: a task's name is not made of letters, digits, ``_``, ``-`` and ``.``.
    """
    check_task_names(tasks)
    labels = [task for task in tasks if task not in (*multi_labels, *frame_labels)] if labels is None else labels
    fields = [
        *BASE_FIELDS,
        *(pa.field(LABEL_PREFIX + task, LABEL_TYPE) for task in tasks if task in labels),
        *(pa.field(MULTI_LABEL_PREFIX + task, MULTI_LABEL_TYPE) for task in tasks if task in multi_labels),
        *(pa.field(FRAME_LABEL_PREFIX + task, FRAME_LABEL_TYPE) for task in tasks if task in frame_labels),
    ]
    plain_tasks = {task: list(names) for task, names in tasks.items()}
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        TASKS_KEY: json.dumps(plain_tasks, ensure_ascii=False).encode(),
    }
    if root is not None:
        metadata[ROOT_KEY] = root.encode()
    if keypoints:
        fields.append(pa.field(KEYPOINTS_COLUMN, keypoints_type(len(keypoints))))
        metadata[KEYPOINTS_KEY] = json.dumps(list(keypoints), ensure_ascii=False).encode()
    return pa.schema(fields, metadata=metadata)


def keypoints_type(num_keypoints: int) -> pa.DataType:
    """A list with an entry a frame: x / width, y / height and likelihood of each keypoint, one after another."""
    return pa.list_(pa.list_(pa.float32(), 3 * num_keypoints))


def check_task_names(tasks: Collection[str]) -> None:
    """Task names become column, file and plot names.

    Raises:
        ManifestError: a name is not made of letters, digits, ``_``, ``-`` and ``.``.
    """
    for task in tasks:
        if not _TASK_NAME.fullmatch(task):
            raise ManifestError(f"task name {task!r}: allowed are letters, digits, '_', '-' and '.'")


def label_tasks(column_names: Sequence[str]) -> list[str]:
    """The tasks that have a label a video, in the order of their columns."""
    return [name.removeprefix(LABEL_PREFIX) for name in column_names if name.startswith(LABEL_PREFIX)]


def multi_label_tasks(column_names: Sequence[str]) -> list[str]:
    """The tasks that have any number of labels a video, in the order of their columns."""
    return [name.removeprefix(MULTI_LABEL_PREFIX) for name in column_names if name.startswith(MULTI_LABEL_PREFIX)]


def frame_label_tasks(column_names: Sequence[str]) -> list[str]:
    """The tasks that have a label a frame, in the order of their columns."""
    return [name.removeprefix(FRAME_LABEL_PREFIX) for name in column_names if name.startswith(FRAME_LABEL_PREFIX)]


def is_url(path: str) -> bool:
    """Whether a manifest's ``path`` is a URL (``scheme://…``), which is passed on as it is."""
    return re.match(URL_PATTERN, path) is not None
