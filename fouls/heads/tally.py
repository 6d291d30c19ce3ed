"""Loss and scores of an epoch, collected batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fouls.heads.batch import HeadOutput
from fouls.heads.head import Head
from fouls.heads.losses import MISSING
from fouls.heads.metrics.classification import balanced_accuracy, confusion_matrix, macro_f1
from fouls.heads.metrics.multi_label import score_multi_label
from fouls.heads.objective import Objective, Step
from fouls.heads.samples import Samples
from fouls.heads.tasks import Task

EpochScores = dict[str, float]
"""Column of the history → value: ``epoch``, ``learning_rate``, ``train/loss``, ``valid/action/accuracy``, …"""

EVALUATION_BATCH = 1024


class Tally:
    """What an epoch's batches gave."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.multi_label = {task.name for task in objective.tasks if task.multi_label}
        self.losses: list[Tensor] = []
        self.counts: list[int] = []
        self.predictions: dict[str, list[Tensor]] = {task.name: [] for task in objective.tasks}
        self.labels: dict[str, list[Tensor]] = {task.name: [] for task in objective.tasks}

    def add(self, output: HeadOutput, step: Step) -> Tensor:
        """Count a batch in.

        Returns:
            Its loss, a scalar with gradient.
        """
        loss, found = self.objective(output, step)
        for task, answer in found.items():
            logits = answer.logits.detach()
            self.predictions[task].append(logits if task in self.multi_label else logits.argmax(dim=1))
            self.labels[task].append(answer.labels)
        self.losses.append(loss.detach())
        self.counts.append(len(step.indices))
        return loss

    def scores(self, split: str) -> EpochScores:
        """``{split}/loss`` (mean over the samples), and ``{split}/{task}/…`` of the tasks that have labels here.

        The scores are ``accuracy``, ``balanced_accuracy`` and ``macro_f1``; ``mean_average_precision`` and ``macro_f1``
        of a multi-label task.
        """
        losses, counts = torch.stack(self.losses).double().cpu(), torch.tensor(self.counts).double()
        scores = {f"{split}/loss": float((losses * counts).sum() / counts.sum())}
        for task in self.objective.tasks:
            labels, predictions = torch.cat(self.labels[task.name]).cpu(), torch.cat(self.predictions[task.name]).cpu()
            scores |= {f"{split}/{task.name}/{name}": value for name, value in task_scores(task, predictions, labels)}
        return scores


def task_scores(task: Task, predictions: Tensor, labels: Tensor) -> Iterator[tuple[str, float]]:
    """Name and value of the scores of a task that has labels, see :meth:`Tally.scores`.

    Args:
        task: whose.
        predictions: (N,) class indices; of a multi-label task logits (N, classes).
        labels: (N,), or (N, classes); :data:`MISSING` where there is none.
    """
    if task.multi_label:
        known = labels[:, 0] != MISSING
        if known.any():
            found = score_multi_label(predictions[known].sigmoid().numpy(), labels[known].numpy() == 1)
            yield from ((name, found[name] or 0.0) for name in ("mean_average_precision", "macro_f1"))
        return
    known = labels != MISSING
    if known.any():
        confusion = confusion_matrix(predictions[known], labels[known], len(task.classes))
        yield from ((name, float(value)) for name, value in confusion_scores(confusion.numpy()).items())


def confusion_scores(confusion: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
    """Name and value of what is read off confusion matrices, see :meth:`Tally.scores`.

    Args:
        confusion: (…, classes, classes), each of one label at least.

    Returns:
        (…) each.
    """
    return {
        "accuracy": confusion.diagonal(axis1=-2, axis2=-1).sum(axis=-1) / confusion.sum(axis=(-2, -1)),
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
    }


@torch.no_grad()
def measure(head: Head, samples: Samples, objective: Objective) -> Tally:
    """Loss and scores of reduced samples, without dropout."""
    head.eval()
    tally = Tally(objective)
    for indices, batch in samples.batches(EVALUATION_BATCH):
        tally.add(head.classify(batch), Step(samples=samples, indices=indices, batch=batch))
    return tally
