"""Class probabilities of samples (or of their frames), and the table they are saved as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from fouls.heads.head import Head
from fouls.heads.losses import MISSING
from fouls.heads.metrics import Scores, score, score_multi_label
from fouls.heads.samples import Samples
from fouls.heads.targets import Answers, answers
from fouls.heads.tasks import Task

_BATCH = 1024

PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("video_id", pa.string()),
        pa.field("frame", pa.int64()),
        pa.field("label", pa.int16()),
        pa.field("labels", pa.list_(pa.int16())),
        pa.field("prediction", pa.int16(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One row a sample and task; for a task with a label a frame one row a frame, with ``video_id`` and ``frame``. A
multi-label task has ``labels`` in the place of ``label``, and ``prediction`` is its most probable class. The class
names stand in the metadata, ``fouls.tasks``, as in a manifest."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a head says of one task: N samples, or N frames."""

    task: Task
    sample_ids: npt.NDArray[np.object_]
    """(N,)"""
    labels: npt.NDArray[np.int64]
    """(N,) class indices, -1 where there is none; of a multi-label task (N, classes): 1, 0, or -1 in all of a row."""
    probabilities: npt.NDArray[np.float32]
    """(N, classes), rows add up to 1; of a multi-label task each class on its own."""
    video_ids: npt.NDArray[np.object_] | None = None
    """(N,) for frames."""
    frames: npt.NDArray[np.int64] | None = None
    """(N,) native frame, for frames."""

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The most probable class of each, (N,)."""
        classes: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return classes

    def score(self) -> Scores:
        """See :func:`fouls.heads.metrics.score`, or :func:`fouls.heads.metrics.score_multi_label`."""
        if self.task.multi_label:
            known = self.labels[:, 0] != MISSING
            return score_multi_label(self.probabilities[known], self.labels[known] == 1)
        return score(torch.from_numpy(self.probabilities), torch.from_numpy(self.labels))


@torch.no_grad()
def predict(head: Head, samples: Samples, tasks: Sequence[Task], *, average_passes: bool = False) -> list[Predictions]:
    """Class probabilities, a :class:`Predictions` a task.

    Args:
        head: on the device of the samples; it is left in evaluation mode.
        samples: reduced (:func:`reduced`), with or without labels.
        tasks: those of the head.
        average_passes: the mean of the probabilities over the plain and all augmented passes, instead of the plain
            one's. Labels a frame are always of the plain pass, whose frames they are aligned with.
    """
    head.eval()
    found: dict[str, list[Answers]] = {task.name: [] for task in tasks}
    for indices, batch in samples.batches(_BATCH):
        logits = head.classify(batch).logits
        probabilities = {task.name: _probabilities(task, logits) for task in tasks}
        for number in range(1, samples.num_passes if average_passes else 1):
            logits = head.classify(samples.gather(indices, torch.full_like(indices, number))).logits
            for task in tasks:
                if not task.per_frame:
                    probabilities[task.name] += _probabilities(task, logits)
        for task in tasks:
            if average_passes and not task.per_frame:
                probabilities[task.name] /= samples.num_passes
            found[task.name].append(answers(task, probabilities[task.name], samples, indices))
    return [_collect(task, found[task.name], samples) for task in tasks]


def _probabilities(task: Task, logits: dict[str, Tensor]) -> Tensor:
    return logits[task.name].sigmoid() if task.multi_label else logits[task.name].softmax(dim=-1)


def reduced(head: Head, samples: Samples) -> Samples:
    """The samples after the head's ``reduce``: done once, instead of at every epoch."""
    return samples.map_tracks(head.reduce) if head.reduces else samples


def _collect(task: Task, found: Sequence[Answers], samples: Samples) -> Predictions:
    tracks = [answer.tracks.cpu() for answer in found if answer.tracks is not None]
    frames = [answer.frames.cpu() for answer in found if answer.frames is not None]
    return Predictions(
        task=task,
        sample_ids=samples.sample_ids[torch.cat([answer.samples for answer in found]).cpu().numpy()],
        labels=torch.cat([answer.labels for answer in found]).cpu().numpy(),
        probabilities=torch.cat([answer.logits for answer in found]).cpu().numpy(),
        video_ids=samples.video_ids[torch.cat(tracks).numpy()] if tracks else None,
        frames=torch.cat(frames).numpy() if frames else None,
    )


def predictions_table(by_split: Iterable[tuple[str, Sequence[Predictions]]]) -> pa.Table:
    """Predictions of some splits as one table, see :data:`PREDICTION_SCHEMA`."""
    tables: list[pa.Table] = []
    tasks: dict[str, list[str]] = {}
    for split, predictions in by_split:
        tables += [_table(split, prediction) for prediction in predictions]
        tasks |= {prediction.task.name: list(prediction.task.classes) for prediction in predictions}
    metadata = {b"fouls.tasks": json.dumps(tasks, ensure_ascii=False).encode()}
    return pa.concat_tables(tables).replace_schema_metadata(metadata)


def _table(split: str, predictions: Predictions) -> pa.Table:
    count = len(predictions.labels)
    probabilities = predictions.probabilities
    offsets = np.arange(count + 1, dtype=np.int32) * probabilities.shape[1]
    columns = [
        pa.array(predictions.sample_ids, pa.string()),
        pa.repeat(split, count),
        pa.repeat(predictions.task.name, count),
        pa.nulls(count, pa.string()) if predictions.video_ids is None else pa.array(predictions.video_ids, pa.string()),
        pa.nulls(count, pa.int64()) if predictions.frames is None else pa.array(predictions.frames),
        *_label_columns(predictions),
        pa.array(predictions.classes.astype(np.int16)),
        pa.ListArray.from_arrays(offsets, probabilities.ravel()),
    ]
    return pa.table(columns, schema=PREDICTION_SCHEMA)


def _label_columns(predictions: Predictions) -> tuple[pa.Array, pa.Array]:
    """The columns ``label`` and ``labels``."""
    count, labels = len(predictions.labels), predictions.labels
    if not predictions.task.multi_label:
        return pa.array(labels.astype(np.int16), mask=labels == MISSING), pa.nulls(count, pa.list_(pa.int16()))
    lists = [None if row[0] == MISSING else np.flatnonzero(row == 1).tolist() for row in labels]
    return pa.nulls(count, pa.int16()), pa.array(lists, pa.list_(pa.int16()))
