"""Joining what runs say: by sample, by frame, by the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fouls.errors import RunError
from fouls.heads.ensemble.join import common_tasks, join_predictions
from fouls.heads.predictions import Predictions
from fouls.heads.tasks import Task

LOOK = Task(name="look", classes=("red", "green", "blue"))
MOVE = Task(name="move", classes=("still", "fast"))
STEPS = Task(name="steps", classes=("left", "right"), per_frame=True)
KINDS = Task(name="kinds", classes=("a", "b", "c"), multi_label=True)


def predictions(task: Task, ids: Sequence[str], labels: Any, probabilities: Any, **frames: Any) -> Predictions:
    return Predictions(
        task=task,
        sample_ids=np.array(ids, dtype=object),
        labels=np.array(labels),
        probabilities=np.array(probabilities, dtype=np.float32),
        **frames,
    )


def test_samples_meet_by_id_whatever_their_order() -> None:
    first = predictions(LOOK, ["a", "b", "c"], [0, 1, -1], [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    second = predictions(LOOK, ["d", "c", "a"], [2, 1, 0], [[0.1, 0.1, 0.8], [0.3, 0.4, 0.3], [0.9, 0.1, 0.0]])
    joined = join_predictions({"one": first, "two": second})
    assert list(joined.sample_ids) == ["a", "b", "c", "d"]
    assert joined.present.tolist() == [[True, True, True, False], [True, False, True, True]]
    assert joined.labels.tolist() == [0, 1, 1, 2]  # known where one run's are
    np.testing.assert_array_equal(joined.probabilities[0, :3], first.probabilities)
    np.testing.assert_array_equal(joined.probabilities[1, [3, 2, 0]], second.probabilities)
    assert list(joined.select(joined.in_all).sample_ids) == ["a", "c"]


def test_classes_meet_by_name() -> None:
    other = Task(name="look", classes=("blue", "red", "green"))
    first = predictions(LOOK, ["a", "b"], [0, 2], [[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]])
    second = predictions(other, ["a", "b"], [1, 0], [[0.2, 0.5, 0.3], [0.2, 0.1, 0.7]])  # the same in another order
    joined = join_predictions({"one": first, "two": second})
    assert joined.task == LOOK
    assert joined.labels.tolist() == [0, 2]
    np.testing.assert_array_equal(joined.probabilities[0], joined.probabilities[1])


def test_classes_of_a_multi_label_task_meet_by_name() -> None:
    other = Task(name="kinds", classes=("c", "a", "b"), multi_label=True)
    first = predictions(KINDS, ["s", "t"], [[1, 0, 0], [-1, -1, -1]], [[0.9, 0.2, 0.3], [0.1, 0.5, 0.5]])
    second = predictions(other, ["t", "s"], [[1, 1, 0], [0, 1, 0]], [[0.6, 0.7, 0.8], [0.3, 0.9, 0.2]])
    joined = join_predictions({"one": first, "two": second})
    assert joined.labels.tolist() == [[1, 0, 0], [1, 0, 1]]
    np.testing.assert_allclose(joined.probabilities[1], [[0.9, 0.2, 0.3], [0.7, 0.8, 0.6]])


def test_frames_meet_by_video_and_frame_and_crops_are_averaged() -> None:
    def frames(videos: list[str], numbers: list[int]) -> dict[str, Any]:
        return {"video_ids": np.array(videos, dtype=object), "frames": np.array(numbers)}

    first = predictions(
        STEPS,
        ["s", "s", "s"],
        [0, 1, 1],
        [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]],
        **frames(["s/0", "s/0", "s/1"], [4, 5, 4]),
    )
    second = predictions(  # two crops of video s/0, and no s/1
        STEPS,
        ["s", "s", "s", "s"],
        [1, 0, 1, 0],
        [[0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]],
        **frames(["s/0", "s/0", "s/0", "s/0"], [5, 4, 5, 4]),
    )
    joined = join_predictions({"one": first, "two": second})
    assert joined.video_ids is not None
    assert joined.frames is not None
    assert list(zip(joined.video_ids, joined.frames, strict=True)) == [("s/0", 4), ("s/0", 5), ("s/1", 4)]
    assert joined.labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(joined.probabilities[0], first.probabilities)
    np.testing.assert_allclose(joined.probabilities[1, :2], [[0.6, 0.4], [0.4, 0.6]])
    assert joined.present.tolist() == [[True, True, True], [True, True, False]]


def test_contradicting_labels_are_refused() -> None:
    first = predictions(LOOK, ["a", "b"], [0, 1], np.full((2, 3), 1 / 3))
    second = predictions(LOOK, ["b", "a"], [2, 0], np.full((2, 3), 1 / 3))
    with pytest.raises(RunError, match="sample 'b' has another label of task 'look' in the predictions of two"):
        join_predictions({"one": first, "two": second})


def test_tasks_that_all_runs_have() -> None:
    tasks, left_out = common_tasks({"one": [LOOK, MOVE], "two": [LOOK], "three": [STEPS, LOOK]})
    assert tasks == (LOOK,)
    assert left_out == {"move": ["two", "three"], "steps": ["one", "two"]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ((MOVE,), r"the runs have no task in common \(one: look; two: move\)"),
        ((Task(name="look", classes=("red", "green")),), "has the classes red, green, blue in one, but red, green in"),
        ((Task(name="look", classes=LOOK.classes, per_frame=True),), "is 'label' in one, but 'frame_label' in two"),
    ],
)
def test_tasks_that_do_not_fit(other: tuple[Task, ...], message: str) -> None:
    with pytest.raises(RunError, match=message):
        common_tasks({"one": (LOOK,), "two": other})
