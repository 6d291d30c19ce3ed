"""The options of the losses, for all tasks and for single ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from fouls.errors import ConfigError
from fouls.heads.head import check_choice, check_range
from fouls.heads.losses.smoothness import DEFAULT_WEIGHTS, Smoothness
from fouls.heads.losses.weighting import ClassWeights

LossKind = Literal["cross_entropy", "focal", "bce", "soft_f1", "cross_entropy_soft_f1", "arcface", "arcface_published"]
TaskWeighting = Literal["fixed", "inverse_accuracy", "inverse_f1"]


@dataclass(frozen=True, kw_only=True)
class LossOverrides:
    """What one task does in its own way; ``None``: as all tasks do."""

    kind: LossKind | None = None
    focal_gamma: float | None = None
    class_weights: ClassWeights | None = None
    label_smoothing: float | None = None
    logit_adjustment_tau: float | None = None


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How logits and labels become a loss: that of each task, times the task's weight, is added up."""

    kind: LossKind = "cross_entropy"
    """What is minimised, see docs/losses.md."""
    focal_gamma: float = 2.0
    """γ of ``focal``."""
    class_weights: ClassWeights = "balanced"
    """See :func:`fouls.heads.losses.class_weights`."""
    max_class_weight: float = 10.0
    """No class weighs more."""
    effective_number_beta: float = 0.999
    """β of the class weights ``effective_number``."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    logit_adjustment_tau: float = 0.0
    """τ; 0 is off. See :func:`fouls.heads.losses.cross_entropy.adjust_logits`."""
    arcface_scale: float = 30.0
    """s of ``arcface`` and ``arcface_published``."""
    arcface_margin: float = 0.5
    """m of the same, in radians."""
    assisting_weight: float = 0.5
    """Weight of the loss of a task's assisting output, beside that of its main output."""
    smoothness: Smoothness = "none"
    """What tasks with a label a frame pay for outputs that change in time."""
    smoothness_weight: float | None = None
    """``None``: the published one, 5e-4 for ``l1`` and 0.15 for ``truncated_mse``."""
    keypoint_weight: float = 1.0
    """Weight of the loss of the keypoints, for heads that regress them."""
    task_weights: Mapping[str, float] = field(default_factory=dict)
    """Task → weight of its loss; 1 for those that are not named."""
    task_weighting: TaskWeighting = "fixed"
    """Whether tasks that are harder come to weigh more, see :func:`fouls.heads.training.task_weights.task_weights`."""
    by_task: Mapping[str, LossOverrides] = field(default_factory=dict)
    """Task → what it does in its own way."""

    def __post_init__(self) -> None:
        check_choice("loss", self.kind, LossKind)
        check_range("focal gamma", self.focal_gamma, 0, 100)
        check_choice("class weights", self.class_weights, ClassWeights)
        check_range("max class weight", self.max_class_weight, 1, 1e6)
        check_range("effective number beta", self.effective_number_beta, 0, 1, open_end=True)
        check_range("label smoothing", self.label_smoothing, 0, 1, open_end=True)
        check_range("logit adjustment tau", self.logit_adjustment_tau, 0, 100)
        check_range("arcface scale", self.arcface_scale, 1e-3, 1e6)
        check_range("arcface margin", self.arcface_margin, 0, math.pi / 2)
        check_range("assisting weight", self.assisting_weight, 0, 1e6)
        check_choice("smoothness", self.smoothness, Smoothness)
        if self.smoothness_weight is not None:
            check_range("smoothness weight", self.smoothness_weight, 0, 1e6)
        check_range("keypoint weight", self.keypoint_weight, 0, 1e6)
        for task, weight in self.task_weights.items():
            check_range(f"weight of task {task!r}", weight, 0, 1e6)
        check_choice("task weighting", self.task_weighting, TaskWeighting)
        if self.kind == "bce" and self.logit_adjustment_tau:
            raise ConfigError(
                f"logit adjustment tau is {self.logit_adjustment_tau:g}, which loss 'bce' can't use: it adjusts a "
                "softmax; leave it 0 there"
            )
        for task in self.by_task:
            self.of_task(task)

    def of_task(self, task: str) -> LossConfig:
        """The options of one task: its own ones in the place of those for all; without ``by_task``.

        Raises:
            ConfigError: its own options don't go with the others.
        """
        overrides = dataclasses.asdict(self.by_task.get(task, LossOverrides()))
        own = {name: value for name, value in overrides.items() if value is not None}
        try:
            return dataclasses.replace(self, **own, by_task={})
        except ConfigError as error:
            raise ConfigError(f"loss of task {task!r}: {error}") from None

    def resolved(self, tasks: Iterable[str]) -> Self:
        """The options for some tasks, with nothing left open.

        Args:
            tasks: the names of all that are trained.

        Raises:
            ConfigError: a weight or an option for a task that is not among them, or no task has any weight.
        """
        known = tuple(tasks)
        for task in (*self.task_weights, *self.by_task):
            if task not in known:
                raise ConfigError(
                    f"the loss has options for task {task!r}, which is not trained; tasks: {', '.join(known)}"
                )
        if not any(self.task_weights.get(task, 1.0) for task in known):
            raise ConfigError(f"every task weighs 0: give one of {', '.join(known)} a weight")
        weight = DEFAULT_WEIGHTS[self.smoothness] if self.smoothness_weight is None else self.smoothness_weight
        return dataclasses.replace(self, smoothness_weight=weight)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of ``dataclasses.asdict``; what is left out takes its default.

        Raises:
            ConfigError: an option that does not exist, or a value that is not allowed.
        """
        _check_names(cls, plain, "the loss")
        by_task: dict[str, LossOverrides] = {}
        for task, own in plain.get("by_task", {}).items():
            _check_names(LossOverrides, own, f"the loss of task {task!r}")
            by_task[task] = LossOverrides(**own)
        return cls(**{**plain, "by_task": by_task})


def _check_names(kind: type[LossConfig] | type[LossOverrides], plain: Mapping[str, Any], what: str) -> None:
    known = [each.name for each in dataclasses.fields(kind)]
    for name in plain:
        if name not in known:
            raise ConfigError(f"{what} has no option {name!r}; it has {', '.join(known)}")
