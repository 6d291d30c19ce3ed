"""The loss of one task: its config, with the class weights and frequencies of the train split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fouls.heads.losses.arcface import add_margin
from fouls.heads.losses.binary import multi_label, one_vs_rest
from fouls.heads.losses.config import LossConfig
from fouls.heads.losses.cross_entropy import ClassTargets, adjust_logits, class_targets, cross_entropy, focal
from fouls.heads.losses.examples import WeightedLosses, weighted_mean
from fouls.heads.losses.soft_f1 import soft_f1
from fouls.heads.losses.weighting import class_weights


@dataclass(frozen=True, kw_only=True)
class TaskLoss:
    """From logits and labels of a task to its loss. Made by :func:`task_loss`."""

    config: LossConfig
    """The task's own, see :meth:`LossConfig.of_task`."""
    counts: Tensor
    """(classes,) examples of each class in the train split."""
    weights: Tensor
    """(classes,) what an example of each class weighs."""

    def __call__(
        self, logits: Tensor, labels: Tensor, shares: Tensor | None = None, *, training: bool = True
    ) -> Tensor:
        """The loss of a batch, a scalar: Σ weight · loss / Σ weight, or soft F1; 0 where no label is there.

        Args:
            logits: (N, classes)
            labels: (N,) int64, :data:`MISSING` where there is none; for ``bce`` also targets (N, classes), see
                :func:`fouls.heads.losses.binary.multi_label`.
            shares: (N,) how much of each example counts, see :func:`fouls.heads.losses.examples.mix_labels`; ``None``:
                all of it.
            training: with the margin of ``arcface`` and the adjustment of logits, which predictions do without.
        """
        if training:
            logits = self.as_trained(logits, labels)
        match self.config.kind:
            case "soft_f1":
                return soft_f1(logits, labels, shares)
            case "cross_entropy_soft_f1":
                return weighted_mean(self.examples(logits, labels), shares) + soft_f1(logits, labels, shares)
            case _:
                return weighted_mean(self.examples(logits, labels), shares)

    def examples(self, logits: Tensor, labels: Tensor) -> WeightedLosses:
        """The losses of the single examples, as far as there are any: soft F1 has none."""
        if self.config.kind == "bce":
            loss = one_vs_rest if labels.ndim == 1 else multi_label
            return loss(logits, labels, self.weights, self.config.label_smoothing)
        if self.config.kind == "focal":
            return focal(logits, labels, self.targets, self.config.focal_gamma)
        return cross_entropy(logits, labels, self.targets)

    @cached_property
    def targets(self) -> ClassTargets:
        """Of the losses on a softmax."""
        return class_targets(self.weights, self.config.label_smoothing)

    def as_trained(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits that a loss sees in training, (N, classes): with margin and adjustment, row by row."""
        config = self.config
        if config.kind == "arcface":
            logits = add_margin(logits, labels, scale=config.arcface_scale, margin=config.arcface_margin)
        if config.logit_adjustment_tau:
            logits = adjust_logits(logits, self.counts, config.logit_adjustment_tau)
        return logits


def task_loss(
    config: LossConfig, task: str, counts: Tensor, device: torch.device, *, multi_label: bool = False
) -> TaskLoss:
    """The loss of a task.

    Args:
        config: that of all tasks.
        task: its name.
        counts: (classes,) examples of each class in the train split.
        device: where the logits will be.
        multi_label: examples carry any number of labels: a class without examples weighs 1 then, since that an example
            is not of it is something to learn.
    """
    own = config.of_task(task)
    weights = class_weights(counts, own.class_weights, own.max_class_weight, own.effective_number_beta)
    if multi_label:
        weights = torch.where(counts > 0, weights, 1.0)
    return TaskLoss(config=own, counts=counts.to(device), weights=weights.to(device))
