"""Loss and accuracies of an epoch, collected batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fouls.heads.batch import HeadOutput
from fouls.heads.head import Head
from fouls.heads.losses import MISSING, masked_cross_entropy
from fouls.heads.metrics import balanced_accuracy, confusion_matrix
from fouls.heads.samples import Samples
from fouls.heads.targets import answers
from fouls.heads.tasks import Task

EpochScores = dict[str, float]
"""Column of the history → value: ``epoch``, ``learning_rate``, ``train/loss``, ``valid/action/accuracy``, …"""

_EVALUATION_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised: the sum over tasks of the masked cross-entropy."""

    tasks: tuple[Task, ...]
    weights: dict[str, Tensor]
    """Task → weight of each class, (classes,)."""
    label_smoothing: float


class Tally:
    """What an epoch's batches gave."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.losses: list[Tensor] = []
        self.counts: list[int] = []
        self.predictions: dict[str, list[Tensor]] = {task.name: [] for task in objective.tasks}
        self.labels: dict[str, list[Tensor]] = {task.name: [] for task in objective.tasks}

    def add(self, output: HeadOutput, samples: Samples, indices: Tensor, passes: Tensor | None = None) -> Tensor:
        """Count a batch in.

        Args:
            output: what the head gives for the batch.
            samples: where the labels are.
            indices: (B,) the batch.
            passes: (B,) the pass of each; ``None``: the plain one.

        Returns:
            Its loss, a scalar with gradient.
        """
        total = torch.zeros((), device=indices.device)
        for task in self.objective.tasks:
            answer = answers(task, output.logits[task.name], samples, indices, passes)
            weights, smoothing = self.objective.weights[task.name], self.objective.label_smoothing
            total = total + masked_cross_entropy(answer.logits, answer.labels, weights, smoothing)
            self.predictions[task.name].append(answer.logits.detach().argmax(dim=1))
            self.labels[task.name].append(answer.labels)
        self.losses.append(total.detach())
        self.counts.append(len(indices))
        return total

    def scores(self, split: str) -> EpochScores:
        """``{split}/loss`` (mean over the samples), and ``{split}/{task}/…`` accuracies of tasks with labels here."""
        losses, counts = torch.stack(self.losses).double().cpu(), torch.tensor(self.counts).double()
        scores = {f"{split}/loss": float((losses * counts).sum() / counts.sum())}
        for task in self.objective.tasks:
            labels, predictions = torch.cat(self.labels[task.name]).cpu(), torch.cat(self.predictions[task.name]).cpu()
            known = labels != MISSING
            if known.any():
                confusion = confusion_matrix(predictions[known], labels[known], len(task.classes))
                accuracy = confusion.diagonal().sum().double() / confusion.sum()
                scores[f"{split}/{task.name}/accuracy"] = float(accuracy)
                scores[f"{split}/{task.name}/balanced_accuracy"] = balanced_accuracy(confusion)
        return scores


@torch.no_grad()
def measure(head: Head, samples: Samples, objective: Objective) -> Tally:
    """Loss and accuracies of reduced samples, without dropout."""
    head.eval()
    tally = Tally(objective)
    for indices, batch in samples.batches(_EVALUATION_BATCH):
        tally.add(head.classify(batch), samples, indices)
    return tally
