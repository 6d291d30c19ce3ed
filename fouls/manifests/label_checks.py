"""Labels that stand in a manifest: are they classes of their tasks, and do the views of a sample agree?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fouls.errors import ManifestError
from fouls.manifests.complaints import complain, complain_of_length, place_of
from fouls.manifests.schema import (
    FRAME_LABEL_PREFIX,
    IGNORED_FRAME,
    LABEL_PREFIX,
    MULTI_LABEL_PREFIX,
    frame_label_tasks,
    label_tasks,
    multi_label_tasks,
)


def check_labels(table: pa.Table, tasks: Mapping[str, Sequence[str]], source: str) -> None:
    """Every label is the index of a class; labels a frame are not more than the video has frames.

    Args:
        table: one whose columns have the right names and types.
        tasks: task → class names.
        source: the file it is from, for the messages.

    Raises:
        ManifestError: on the first fault found, with file, row, column and value.
    """
    for task in label_tasks(table.column_names):
        _check_labels(table, task, tasks[task], source)
    for task in multi_label_tasks(table.column_names):
        _check_multi_labels(table, task, tasks[task], source)
    for task in frame_label_tasks(table.column_names):
        _check_frame_labels(table, task, tasks[task], source)


def check_samples(table: pa.Table, source: str) -> None:
    """The views of a sample stand in one split and carry the same labels of a task (or none).

    Raises:
        ManifestError: names the column, both values and both videos.
    """
    codes = pc.dictionary_encode(table["sample_id"]).combine_chunks().indices.to_numpy()
    labels = [LABEL_PREFIX + task for task in label_tasks(table.column_names)]
    multi_labels = [MULTI_LABEL_PREFIX + task for task in multi_label_tasks(table.column_names)]
    for name in ("split", *labels, *multi_labels):
        column = _as_text(table[name]) if name in multi_labels else table[name]
        values = pc.dictionary_encode(column).combine_chunks().indices
        known = values.is_valid().to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(known)
        sample, value = codes[rows], values.drop_null().to_numpy()
        _, first, inverse = np.unique(sample, return_index=True, return_inverse=True)
        differs = np.flatnonzero(value != value[first][inverse])
        if differs.size:
            row, other = int(rows[differs[0]]), int(rows[first[inverse[differs[0]]]])
            raise ManifestError(
                f"{source}: row {row}, column {name!r}: {table[name][row].as_py()!r} for video "
                f"{table['video_id'][row].as_py()!r}, but {table[name][other].as_py()!r} for "
                f"{table['video_id'][other].as_py()!r} (row {other}): both are views of the sample "
                f"{table['sample_id'][row].as_py()!r}"
            )


def _as_text(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists can't be dictionary-encoded; what they read like can."""
    return pa.chunked_array([[None if value is None else str(value) for value in lists.to_pylist()]], pa.string())


def _check_labels(table: pa.Table, task: str, names: Sequence[str], source: str) -> None:
    column = LABEL_PREFIX + task
    outside = pc.or_(pc.less(table[column], 0), pc.greater_equal(table[column], len(names)))
    complain(table, outside, column, source, f"is outside of the {len(names)} classes of task {task!r}")


def _check_multi_labels(table: pa.Table, task: str, names: Sequence[str], source: str) -> None:
    column = MULTI_LABEL_PREFIX + task
    _check_values(table, column, 0, len(names), source, f"none of the {len(names)} classes of task {task!r}")
    values, rows = pc.list_flatten(table[column]).to_numpy(), pc.list_parent_indices(table[column]).to_numpy()
    descends = np.flatnonzero((np.diff(values) <= 0) & (np.diff(rows) == 0))
    if descends.size:
        row = int(rows[descends[0]])
        raise ManifestError(
            f"{place_of(table, row, column, source)}: {table[column][row].as_py()!r} is not ascending, each class once"
        )


def _check_frame_labels(table: pa.Table, task: str, names: Sequence[str], source: str) -> None:
    column = FRAME_LABEL_PREFIX + task
    complain_of_length(table, column, source, "labels")
    rule = f"neither {IGNORED_FRAME} nor one of the {len(names)} classes of task {task!r}"
    _check_values(table, column, IGNORED_FRAME, len(names), source, rule)


def _check_values(table: pa.Table, column: str, least: int, stop: int, source: str, rule: str) -> None:
    """Every entry of every list is in [least, stop)."""
    values, rows = pc.list_flatten(table[column]), pc.list_parent_indices(table[column])
    outside = pc.or_kleene(pc.less(values, least), pc.greater_equal(values, stop))
    wrong = pc.index(pc.fill_null(outside, True), True).as_py()
    if wrong >= 0:
        place = place_of(table, rows[wrong].as_py(), column, source)
        raise ManifestError(f"{place}: {values[wrong].as_py()!r} is {rule}")
