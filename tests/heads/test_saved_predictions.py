"""Predictions that were written are read as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fouls.errors import RunError
from fouls.heads.predictions import Predictions
from fouls.heads.report import write_predictions
from fouls.heads.saved_predictions import read_predictions
from fouls.heads.tasks import Task

TASKS = (
    Task(name="look", classes=("red", "green", "blue")),
    Task(name="kinds", classes=("a", "b"), multi_label=True),
    Task(name="steps", classes=("left", "right"), per_frame=True),
)


def made_up(seed: int) -> list[Predictions]:
    rng = np.random.default_rng(seed)
    ids, frame_ids = np.array(["x", "y", "z"], dtype=object), np.array(["x", "x"], dtype=object)
    return [
        Predictions(
            task=TASKS[0], sample_ids=ids, labels=np.array([2, -1, 0]), probabilities=rng.random((3, 3), np.float32)
        ),
        Predictions(
            task=TASKS[1],
            sample_ids=ids,
            labels=np.array([[0, 0], [-1, -1], [1, 1]]),
            probabilities=rng.random((3, 2), np.float32),
        ),
        Predictions(
            task=TASKS[2],
            sample_ids=frame_ids,
            labels=np.array([-1, 1]),
            probabilities=rng.random((2, 2), np.float32),
            video_ids=np.array(["x/0", "x/1"], dtype=object),
            frames=np.array([7, 8]),
        ),
    ]


def test_every_kind_of_task_comes_back(tmp_path: Path) -> None:
    path, by_split = tmp_path / "predictions.parquet", {"train": made_up(0), "valid": made_up(1)}
    write_predictions(path, by_split)
    for split, written in by_split.items():
        for ours, theirs in zip(read_predictions(path, TASKS, split), written, strict=True):
            assert ours.task == theirs.task
            for name in ("sample_ids", "labels", "probabilities", "video_ids", "frames"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert [len(each.labels) for each in read_predictions(path, TASKS, "test")] == [0, 0, 0]


def test_other_classes_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions_valid.parquet"
    write_predictions(path, {"valid": made_up(0)})
    with pytest.raises(RunError, match="has other tasks or classes than its run was trained on: `fouls evaluate"):
        read_predictions(path, TASKS[:2], "valid")
    path.write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"can't be read \(.*\): `fouls evaluate .* --split valid` makes"):
        read_predictions(path, TASKS, "valid")
