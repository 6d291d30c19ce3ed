"""What training minimises: the losses of all tasks and of what a head says beside its logits, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fouls.heads.batch import Batch, HeadOutput
from fouls.heads.keypoints import visible
from fouls.heads.losses import LossConfig, TaskLoss, task_loss
from fouls.heads.losses.examples import label_steps, mix_labels
from fouls.heads.losses.keypoints import keypoint_loss
from fouls.heads.losses.smoothness import smoothness
from fouls.heads.samples import Samples
from fouls.heads.targets import Answers, answers, frame_places, label_counts, partners_labels
from fouls.heads.tasks import Task
from fouls.heads.training.mixing import Mixed


@dataclass(frozen=True, kw_only=True)
class Step:
    """A batch on its way through training or evaluation."""

    samples: Samples
    """Where the labels are."""
    indices: Tensor
    """(B,) the samples of the batch."""
    batch: Batch
    passes: Tensor | None = None
    """(B,) the pass of each; ``None``: the plain one."""
    mixed: Mixed | None = None
    """How the samples were mixed with each other."""
    training: bool = False
    """With margins and adjusted logits, which predictions do without."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss of a head. Made by :func:`make_objective`."""

    tasks: tuple[Task, ...]
    losses: Mapping[str, TaskLoss]
    """Task → its loss."""
    config: LossConfig
    """Resolved."""
    weights: dict[str, float | Tensor] = field(default_factory=dict)
    """Task → what its loss weighs, a number or a scalar; changes where tasks weigh by their difficulty."""

    def __call__(self, output: HeadOutput, step: Step) -> tuple[Tensor, dict[str, Answers]]:
        """The loss of a batch, a scalar, and the logits of each task beside the labels they answer for."""
        total = torch.zeros((), device=step.indices.device)
        found: dict[str, Answers] = {}
        for task in self.tasks:
            weight = self.weights.get(task.name, 1.0)
            found[task.name] = answers(task, output.logits[task.name], step.samples, step.indices, step.passes)
            total = total + weight * self._of_task(task, output, found[task.name], step)
        if output.extras.keypoints is not None and self.config.keypoint_weight:
            total = total + self.config.keypoint_weight * _of_keypoints(output.extras.keypoints, step)
        return total, found

    def _of_task(self, task: Task, output: HeadOutput, answer: Answers, step: Step) -> Tensor:
        loss = self.losses[task.name]
        total = _labelled(loss, task, answer, step)
        for logits in output.extras.stages.get(task.name, ()):
            total = total + _labelled(loss, task, answers(task, logits, step.samples, step.indices, step.passes), step)
        if task.per_frame and self.config.smoothness != "none" and self.config.smoothness_weight:
            for logits in (output.logits[task.name], *output.extras.stages.get(task.name, ())):
                cost = smoothness(self.config.smoothness, logits, step.batch.mask)
                total = total + self.config.smoothness_weight * cost
        if task.name in output.extras.assisting and self.config.assisting_weight:
            total = total + self.config.assisting_weight * _of_assisting(loss, task, output, answer, step)
        return total


def _labelled(loss: TaskLoss, task: Task, answer: Answers, step: Step) -> Tensor:
    """The loss of logits that answer for labels, some of which may be mixed."""
    if step.mixed is None:
        return loss(answer.logits, answer.labels, training=step.training)
    partner_labels, shares = partners_labels(task, answer, step.samples, step.indices, step.mixed)
    return loss(*mix_labels(answer.logits, answer.labels, partner_labels, shares), training=step.training)


def _of_assisting(loss: TaskLoss, task: Task, output: HeadOutput, answer: Answers, step: Step) -> Tensor:
    """The loss of an assisting output, every step of which carries the label of its sample."""
    logits, mask = output.extras.assisting[task.name], output.extras.assisting_mask
    if mask is None:
        mask = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    if step.mixed is None:
        return loss(*label_steps(logits, mask, answer.labels), training=step.training)
    own_logits, own_labels, own_shares = label_steps(logits, mask, answer.labels, step.mixed.shares)
    _, others_labels, others_shares = label_steps(
        logits, mask, answer.labels[step.mixed.partners], 1 - step.mixed.shares
    )
    assert own_shares is not None
    assert others_shares is not None
    return loss(
        torch.cat([own_logits, own_logits]),
        torch.cat([own_labels, others_labels]),
        torch.cat([own_shares, others_shares]),
        training=step.training,
    )


def _of_keypoints(predicted: Tensor, step: Step) -> Tensor:
    """The loss of keypoints (B, V, T, K, 2), frame by frame; frames that are mixed with others have none."""
    samples = step.samples
    assert samples.keypoints is not None
    sample, view, place, at = frame_places(samples, step.indices, step.passes)
    truth = samples.keypoints[samples.tracks[step.indices[sample], view], place]  # (N, K, 3)
    seen = visible(truth)
    if step.mixed is not None:
        seen &= (step.mixed.step_shares[sample, view, at] == 1)[:, None]
    return keypoint_loss(predicted[sample, view, at], truth[..., :2], seen)


def make_objective(train: Samples, tasks: Sequence[Task], config: LossConfig) -> Objective:
    """The loss, with class weights and frequencies from the labels of the train split.

    Args:
        train: the samples to train on.
        tasks: what to learn.
        config: resolved.
    """
    losses = {
        task.name: task_loss(config, task.name, label_counts(task, train), train.device, multi_label=task.multi_label)
        for task in tasks
    }
    weights: dict[str, float | Tensor] = {task.name: config.task_weights.get(task.name, 1.0) for task in tasks}
    return Objective(tasks=tuple(tasks), losses=losses, config=config, weights=weights)
