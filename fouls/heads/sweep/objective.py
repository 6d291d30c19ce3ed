"""The losses of K models that answer for the same batch, and their scores over an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fouls.heads.losses import MISSING, TaskLoss
from fouls.heads.losses.cross_entropy import cross_entropy
from fouls.heads.objective import Objective, Step
from fouls.heads.sweep.stack import StackedOutput, as_output
from fouls.heads.tally import EpochScores, confusion_scores, task_scores
from fouls.heads.tasks import Task

ByTask = dict[str, Tensor]


class StackedObjective:
    """An objective a model; those with the same options are computed at once."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        """Sort the models by their losses.

        Args:
            objectives: K of them, of the same tasks. What tasks weigh is read at every call.
        """
        self.objectives = list(objectives)
        self.groups: list[list[int]] = []
        """Models whose losses have the same options."""
        for position, objective in enumerate(self.objectives):
            for group in self.groups:
                if self.objectives[group[0]].config == objective.config:
                    group.append(position)
                    break
            else:
                self.groups.append([position])
        self._order = [position for group in self.groups for position in group]

    def __call__(self, output: StackedOutput, step: Step) -> tuple[Tensor, ByTask, ByTask]:
        """Losses and answers of a batch.

        Returns:
            The losses (K,); task → logits (K, N, classes); task → the labels (N, …) they answer for.
        """
        if len(self.groups) == 1:
            return self._of_group(self.groups[0], output, step)
        found = [self._of_group(group, _pick(output, group), step) for group in self.groups]
        back = torch.tensor(self._order).argsort()  # where each model is in the groups
        losses = torch.cat([losses for losses, _, _ in found])[back]
        logits = {name: torch.cat([logits[name] for _, logits, _ in found])[back] for name in found[0][1]}
        return losses, logits, found[0][2]

    def _of_group(self, group: list[int], output: StackedOutput, step: Step) -> tuple[Tensor, ByTask, ByTask]:
        """Those of models whose losses have the same options."""
        objective = self.objectives[group[0]]
        weights = {
            task.name: torch.tensor([self.objectives[position].weights.get(task.name, 1.0) for position in group])
            for task in objective.tasks
        }
        weights = {name: of_models.to(step.indices.device) for name, of_models in weights.items()}

        if _is_by_row(objective, output, step):
            return _by_row(objective, weights, output, step)

        def one(of_one: StackedOutput, weights: ByTask) -> tuple[Tensor, ByTask, ByTask]:
            of_model = dataclasses.replace(objective, weights=dict(weights))
            loss, found = of_model(as_output(of_one), step)
            logits = {task: answer.logits for task, answer in found.items()}
            return loss, logits, {task: answer.labels for task, answer in found.items()}

        out_dims: Any = (0, 0, None)  # labels are the same for all
        stacked = torch.func.vmap(one, out_dims=out_dims, randomness="same")
        result: tuple[Tensor, ByTask, ByTask] = stacked(output, weights)
        return result


def _is_by_row(objective: Objective, output: StackedOutput, step: Step) -> bool:
    """Whether the loss is a mean over samples that know nothing of each other, one answer each."""
    one_a_sample = not any(task.per_frame for task in objective.tasks)
    more = output["stages"] or output["assisting"] or "keypoints" in output
    kinds = {loss.config.kind for loss in objective.losses.values()}
    return one_a_sample and not more and step.mixed is None and not kinds & {"soft_f1", "cross_entropy_soft_f1"}


def _by_row(objective: Objective, weights: ByTask, output: StackedOutput, step: Step) -> tuple[Tensor, ByTask, ByTask]:
    """What vmap would give, in a third of the time."""
    total = torch.zeros((), device=step.indices.device)
    found: ByTask = {}
    for task in objective.tasks:
        found[task.name] = step.samples.labels[task.name][step.indices]
        loss, logits = objective.losses[task.name], output["logits"][task.name]  # (K, N, classes)
        losses, of_examples = _sums(loss, logits, found[task.name], training=step.training)
        total = total + weights[task.name] * losses / of_examples.clamp(min=torch.finfo(losses.dtype).tiny)
    return total, output["logits"], found


def _sums(loss: TaskLoss, logits: Tensor, labels: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
    """The sums over the examples of their losses, (K,), and of their weights, (K,) or one for all."""
    if loss.config.kind == "cross_entropy" and not (training and loss.config.logit_adjustment_tau):
        # with the models last the softmax goes along whole vectors
        losses, weights = cross_entropy(logits.permute(1, 2, 0), labels, loss.targets)
        return losses.sum(dim=0), weights.sum()
    rows, labels = logits.flatten(0, 1), labels.expand(len(logits), *labels.shape).flatten(0, 1)
    examples = loss.examples(loss.as_trained(rows, labels) if training else rows, labels)
    losses, weights = (each.reshape(len(logits), -1).sum(dim=1) for each in examples)
    return losses, weights


def _pick(output: StackedOutput, group: list[int]) -> StackedOutput:
    """What some of the models answered."""
    positions = torch.tensor(group)
    picked: StackedOutput = torch.utils._pytree.tree_map(lambda value: value[positions.to(value.device)], output)
    return picked


class StackedTally:
    """What an epoch's batches gave; see :class:`fouls.heads.tally.Tally`."""

    def __init__(self, objective: StackedObjective) -> None:
        self.tasks = objective.objectives[0].tasks
        self.losses: list[Tensor] = []
        self.counts: list[int] = []
        self.predictions: dict[str, list[Tensor]] = {task.name: [] for task in self.tasks}
        self.labels: dict[str, list[Tensor]] = {task.name: [] for task in self.tasks}

    def add(self, losses: Tensor, logits: ByTask, labels: ByTask, count: int) -> None:
        """Count a batch in.

        Args:
            losses: (K,)
            logits: task → (K, N, classes)
            labels: task → (N, …)
            count: samples in the batch.
        """
        for task in self.tasks:
            of_task = logits[task.name].detach()
            self.predictions[task.name].append(of_task)
            self.labels[task.name].append(labels[task.name])
        self.losses.append(losses.detach())
        self.counts.append(count)

    def scores(self, split: str) -> list[EpochScores]:
        """Those of each model, under the names that :meth:`fouls.heads.tally.Tally.scores` gives them."""
        counts = torch.tensor(self.counts).double()
        losses = torch.stack(self.losses).double().cpu()  # (batches, K)
        means = ((losses * counts[:, None]).sum(dim=0) / counts.sum()).tolist()
        scores: list[EpochScores] = [{f"{split}/loss": mean} for mean in means]
        for task in self.tasks:
            labels = torch.cat(self.labels[task.name]).cpu()
            logits = torch.cat(self.predictions[task.name], dim=1).cpu()  # (K, N, classes)
            for of_model, of_task in zip(scores, _scores_of(task, logits, labels), strict=True):
                of_model |= {f"{split}/{task.name}/{name}": value for name, value in of_task}
        return scores


def _scores_of(task: Task, logits: Tensor, labels: Tensor) -> list[list[tuple[str, float]]]:
    """What :func:`fouls.heads.tally.task_scores` gives for each model."""
    if task.multi_label:
        return [list(task_scores(task, of_one, labels)) for of_one in logits]
    known = labels != MISSING
    if not known.any():
        return [[] for _ in logits]
    predictions = torch.from_numpy(logits[:, known].numpy().argmax(axis=2))  # (K, n): torch's takes five times as long
    count = len(task.classes)
    cells = (labels[known] * count + predictions) + torch.arange(len(logits))[:, None] * count**2
    confusions = torch.bincount(cells.flatten(), minlength=len(logits) * count**2).reshape(-1, count, count)
    names, values = zip(*confusion_scores(confusions.numpy()).items(), strict=True)
    return [list(zip(names, of_model, strict=True)) for of_model in np.stack(values, axis=1).tolist()]
