"""Predictions of several runs, side by side: the same sample, or the same frame, at the same place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.errors import RunError
from fouls.heads.losses import MISSING
from fouls.heads.predictions import Predictions
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What M runs say of one task: N samples, or N frames, that one of them has at least."""

    task: Task
    """With the first run's order of classes."""
    sample_ids: npt.NDArray[np.object_]
    """(N,) in the order of the first run; then those that only later ones have."""
    video_ids: npt.NDArray[np.object_] | None
    """(N,) for frames."""
    frames: npt.NDArray[np.int64] | None
    """(N,) native frame, for frames."""
    labels: npt.NDArray[np.int64]
    """As those of :class:`~fouls.heads.predictions.Predictions`; known where one run's are."""
    probabilities: npt.NDArray[np.float32]
    """(M, N, classes), 0 where a run has no prediction."""
    present: npt.NDArray[np.bool_]
    """(M, N) whether a run has a prediction."""

    @property
    def in_all(self) -> npt.NDArray[np.bool_]:
        """What all runs have a prediction of, (N,)."""
        common: npt.NDArray[np.bool_] = np.logical_and.reduce(self.present)
        return common

    def predictions(self, probabilities: npt.NDArray[np.float32]) -> Predictions:
        """Probabilities (N, classes) of all, such as a run's or an average."""
        return Predictions(
            task=self.task,
            sample_ids=self.sample_ids,
            labels=self.labels,
            probabilities=probabilities,
            video_ids=self.video_ids,
            frames=self.frames,
        )

    def select(self, kept: npt.NDArray[np.bool_]) -> Joined:
        """Some of the samples or frames; kept (N,)."""
        return dataclasses.replace(
            self,
            sample_ids=self.sample_ids[kept],
            video_ids=None if self.video_ids is None else self.video_ids[kept],
            frames=None if self.frames is None else self.frames[kept],
            labels=self.labels[kept],
            probabilities=self.probabilities[:, kept],
            present=self.present[:, kept],
        )


def common_tasks(by_run: Mapping[str, Sequence[Task]]) -> tuple[tuple[Task, ...], dict[str, list[str]]]:
    """The tasks that all runs have, as the first has them; and of the others, the runs that lack them.

    Args:
        by_run: name of each run → its tasks.

    Raises:
        RunError: no common task, or one of the same name that means something else.
    """
    first, *others = by_run
    names = list(dict.fromkeys(task.name for tasks in by_run.values() for task in tasks))
    lacking = {
        name: [run for run, tasks in by_run.items() if all(task.name != name for task in tasks)] for name in names
    }
    common = tuple(task for task in by_run[first] if not lacking[task.name])
    if not common:
        said = "; ".join(f"{run}: {', '.join(task.name for task in tasks)}" for run, tasks in by_run.items())
        raise RunError(f"the runs have no task in common ({said}): train heads on the same task")
    for task in common:
        for run in others:
            other = next(each for each in by_run[run] if each.name == task.name)
            if other.kind != task.kind:
                raise RunError(f"task {task.name!r} is {task.kind!r} in {first}, but {other.kind!r} in {run}")
            if sorted(other.classes) != sorted(task.classes):
                raise RunError(
                    f"task {task.name!r} has the classes {', '.join(task.classes)} in {first}, but "
                    f"{', '.join(other.classes)} in {run}: runs of an ensemble must have the same"
                )
    return common, {name: runs for name, runs in lacking.items() if runs}


def join_predictions(by_run: Mapping[str, Predictions]) -> Joined:
    """Join what several runs say of one task, by sample, and by video and frame where it has a label a frame.

    A frame that a run predicted more than once, in several crops, gets the mean of its probabilities.

    Args:
        by_run: name of each run → its predictions, of tasks that :func:`common_tasks` accepts.

    Raises:
        RunError: two runs were evaluated with different labels of a sample.
    """
    task = next(iter(by_run.values())).task
    keys, firsts, positions = _places(list(by_run.values()))
    count = len(keys)
    probabilities = np.zeros((len(by_run), count, len(task.classes)), dtype=np.float32)
    present = np.zeros((len(by_run), count), dtype=bool)
    labels = np.full((count, len(task.classes)) if task.multi_label else count, MISSING)
    for number, ((run, predictions), at) in enumerate(zip(by_run.items(), positions, strict=True)):
        ours = _in_order_of(task, predictions)
        times = np.bincount(at, minlength=count)
        present[number] = times > 0
        for index, column in enumerate(ours.probabilities.T):
            sums = np.bincount(at, weights=column, minlength=count)
            probabilities[number, :, index] = sums / np.maximum(times, 1)
        _take_labels(labels, ours, at, run)
    frames = task.per_frame
    return Joined(
        task=task,
        sample_ids=np.concatenate([predictions.sample_ids for predictions in by_run.values()])[firsts],
        video_ids=np.concatenate([_videos(predictions) for predictions in by_run.values()])[firsts] if frames else None,
        frames=keys[:, 2] if frames else None,
        labels=labels,
        probabilities=probabilities,
        present=present,
    )


def _places(
    parts: list[Predictions],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]:
    """The different keys (N, 1), or (N, 3) for frames, sorted; where each is met first; and where those of each are."""
    columns = [_codes([part.sample_ids for part in parts])]
    if parts[0].task.per_frame:
        frames = [part.frames for part in parts if part.frames is not None]
        columns += [_codes([_videos(part) for part in parts]), np.concatenate(frames)]
    keys, firsts, positions = np.unique(np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True)
    ends = np.cumsum([len(part.labels) for part in parts])[:-1]
    return keys, firsts, np.split(positions.reshape(-1), ends)


def _codes(parts: list[npt.NDArray[np.object_]]) -> npt.NDArray[np.int64]:
    """A number for each name, in the order in which they are first met."""
    codes: npt.NDArray[np.int64] = (
        pa.array(np.concatenate(parts), pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    )
    return codes


def _videos(predictions: Predictions) -> npt.NDArray[np.object_]:
    assert predictions.video_ids is not None
    return predictions.video_ids


def _in_order_of(task: Task, predictions: Predictions) -> Predictions:
    """The predictions with the classes in the order of another task with the same ones."""
    theirs = predictions.task.classes
    if theirs == task.classes:
        return predictions
    order = np.array([theirs.index(name) for name in task.classes])
    place = np.argsort(order)  # of each of their classes in ours
    labels = predictions.labels
    return dataclasses.replace(
        predictions,
        task=task,
        labels=labels[:, order] if task.multi_label else np.where(labels == MISSING, MISSING, place[labels]),
        probabilities=predictions.probabilities[:, order],
    )


def _take_labels(labels: npt.NDArray[np.int64], ours: Predictions, at: npt.NDArray[np.int64], run: str) -> None:
    """Fill in the labels that a run knows.

    Raises:
        RunError: another run knows another one.
    """
    known = (ours.labels[:, 0] if ours.task.multi_label else ours.labels) != MISSING
    there = labels[at]
    differs = known.reshape(-1, *[1] * (labels.ndim - 1)) & (there != MISSING) & (there != ours.labels)
    if differs.any():
        place = int(np.argwhere(differs)[0, 0])
        frame = "" if ours.frames is None else f", frame {ours.frames[place]}"
        raise RunError(
            f"sample {ours.sample_ids[place]!r}{frame} has another label of task {ours.task.name!r} in the predictions "
            f"of {run} than in those of the runs before it: `fouls evaluate` them with the same --manifest"
        )
    labels[at[known]] = ours.labels[known]
