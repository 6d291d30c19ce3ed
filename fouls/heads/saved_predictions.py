"""Predictions read back from a run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fouls.errors import RunError, first_line
from fouls.heads.losses import MISSING
from fouls.heads.predictions import PREDICTION_SCHEMA, Predictions
from fouls.heads.tasks import Task


def read_predictions(path: Path, tasks: Sequence[Task], split: str) -> list[Predictions]:
    """What :func:`fouls.heads.report.write_predictions` wrote of a split, a :class:`Predictions` a task.

    Args:
        path: the Parquet file.
        tasks: those of the run.
        split: which predictions.

    Raises:
        RunError: the file can't be read, or has other tasks or classes than these.
    """
    try:
        table = pq.read_table(path, filters=pc.field("split") == split)
        table = table.cast(PREDICTION_SCHEMA.with_metadata(table.schema.metadata))
        classes: dict[str, list[str]] = json.loads((table.schema.metadata or {})[b"fouls.tasks"])
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise RunError(f"{path} can't be read ({first_line(error)}): {_again(path, split)}") from error
    if classes != {task.name: list(task.classes) for task in tasks}:
        raise RunError(f"{path} has other tasks or classes than its run was trained on: {_again(path, split)}")
    return [_of_task(task, table.filter(pc.equal(table["task"], task.name))) for task in tasks]


def _again(path: Path, split: str) -> str:
    return f"`fouls evaluate {path.parent} --split {split}` makes predictions_{split}.parquet anew"


def _of_task(task: Task, rows: pa.Table) -> Predictions:
    probabilities = pc.list_flatten(rows["probabilities"]).to_numpy().reshape(-1, len(task.classes))
    return Predictions(
        task=task,
        sample_ids=rows["sample_id"].to_numpy().astype(object),
        labels=_label_lists(task, rows["labels"]) if task.multi_label else _labels(rows["label"]),
        probabilities=probabilities,
        video_ids=rows["video_id"].to_numpy().astype(object) if task.per_frame else None,
        frames=rows["frame"].to_numpy() if task.per_frame else None,
    )


def _labels(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    labels: npt.NDArray[np.int64] = pc.fill_null(column, MISSING).to_numpy().astype(np.int64)
    return labels


def _label_lists(task: Task, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """(N, classes): 1, 0, or -1 in all of a row."""
    labels = np.zeros((len(column), len(task.classes)), dtype=np.int64)
    labels[pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column).to_numpy()] = 1
    labels[pc.is_null(column).to_numpy().astype(bool)] = MISSING
    return labels
