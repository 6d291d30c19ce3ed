"""Losses: each a pure function of logits and labels in one of the modules here, chosen by a :class:`LossConfig`."""

from fouls.heads.losses.config import LossConfig, LossOverrides
from fouls.heads.losses.cross_entropy import masked_cross_entropy
from fouls.heads.losses.examples import MISSING
from fouls.heads.losses.task import TaskLoss, task_loss
from fouls.heads.losses.weighting import ClassWeights, class_weights

__all__ = [
    "MISSING",
    "ClassWeights",
    "LossConfig",
    "LossOverrides",
    "TaskLoss",
    "class_weights",
    "masked_cross_entropy",
    "task_loss",
]
