"""What every head is: a config that builds a module, and the module's interface."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, HeadOutput, InputForm
from fouls.heads.inputs import Inputs
from fouls.heads.pooling import TimePooling, ViewPooling
from fouls.heads.samples import Samples
from fouls.heads.tasks import Task

OutputKind = Literal["linear", "arcface", "arcface_published"]


@dataclass(frozen=True, kw_only=True)
class HeadConfig(ABC):
    """The options that all heads have. A head is a subclass with its own options; its ``build`` makes the module."""

    default_pools: ClassVar[tuple[str, ...]] = ()
    """Pools that the head rather reads than the backbone's own, the best first."""
    low_precision: ClassVar[bool] = False
    """The head computes its large matrix products in the dtype of the features."""
    reads_tokens: ClassVar[bool] = False
    """The head can read pool ``tokens``, whose steps are places in space and time."""

    standardise: bool = True
    """Inputs get mean 0 and standard deviation 1 over the train split."""
    project: int | None = None
    """Each store's features first go through a linear layer to this width; ``None``: they stay as they are."""
    output: OutputKind = "linear"
    """The layer that makes a task's logits, see :func:`fouls.heads.outputs.output_layer`; with ``arcface`` and
    ``arcface_published`` goes the loss of the same name."""
    output_scale: float = 30.0
    """s of ``arcface`` and ``arcface_published``."""
    output_margin: float = 0.5
    """m of ``arcface_published``, in radians; that of ``arcface`` is in the loss."""

    def __post_init__(self) -> None:
        if self.project is not None:
            check_range("project", self.project, 1, 65536)
        check_choice("output", self.output, OutputKind)
        check_range("output scale", self.output_scale, 1e-3, 1e6)
        check_range("output margin", self.output_margin, 0, math.pi / 2)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form, with nothing left open.

        Raises:
            ConfigError: the head can't work on such inputs, or for such tasks.
        """
        return self

    @property
    def stacks(self) -> bool:
        """Many heads of this config are trained faster at once than one after another, see :mod:`fouls.heads.sweep`."""
        return False

    @abstractmethod
    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        """Make the module; the config must be resolved for this form and these tasks."""

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON types."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class PoolingHeadConfig(HeadConfig):
    """Options of the heads that pool time steps and tracks."""

    view_pooling: ViewPooling = "mean"
    """How the tracks of a sample (views × clips × crops) become one vector."""
    time_pooling: TimePooling | None = None
    """How time steps become one vector; ``None``: see :meth:`resolved`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("view pooling", self.view_pooling, ViewPooling)
        if self.time_pooling is not None:
            check_choice("time pooling", self.time_pooling, TimePooling)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form, with nothing left open: ``mean_std`` where T > 1, else ``mean``.

        The spread in time is what carries motion in features of a backbone that was not trained for it.
        """
        kind = self.time_pooling or ("mean_std" if form.num_steps > 1 else "mean")
        return dataclasses.replace(self, time_pooling=kind)


def check_choice(name: str, value: object, literal: object) -> None:
    """Refuse a value that is not one of a ``Literal``'s.

    Raises:
        ConfigError: names the value and what is allowed.
    """
    if value not in get_args(literal):
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(get_args(literal))}")


def check_range(name: str, value: float, low: float, high: float, *, open_end: bool = False) -> None:
    """Refuse a number outside of [low, high], or of [low, high) with ``open_end``.

    Raises:
        ConfigError: names the value and what is allowed.
    """
    if not low <= value <= high or (open_end and value == high):
        raise ConfigError(f"{name} is {value:g}; allowed: {low:g} to {high:g}{' (exclusive)' if open_end else ''}")


def check_one_label_a_sample(head: str, tasks: Sequence[Task]) -> None:
    """Refuse tasks with a label a frame.

    Raises:
        ConfigError: names the head and the task.
    """
    for task in tasks:
        if task.per_frame:
            raise ConfigError(
                f"head {head!r} gives one answer a sample, but task {task.name!r} has a label a frame: take --head "
                "tcn, ms_tcn, mlp or linear, or narrow with --task"
            )


def check_steps(head: str, form: InputForm) -> None:
    """Refuse features without a time that a head could convolve over.

    Raises:
        ConfigError: so it is.
    """
    if form.num_steps < 2:
        raise ConfigError(
            f"head {head!r} convolves over time, but these features have one time step a track: take a pool with "
            "several (`fouls extract --pool temporal`, or --sampling dense), or --head mlp"
        )


def check_grid(head: str, form: InputForm) -> None:
    """Refuse tokens whose places are not known.

    Raises:
        ConfigError: so it is.
    """
    if form.tokens and form.grid is None:
        raise ConfigError(
            f"head {head!r} needs the grid of the tokens, which this store does not know: take --pool temporal or "
            "mean, or --head attentive"
        )


class Head(nn.Module, ABC):
    """A module from padded features to logits by task.

    What :meth:`reduce` does has no parameters: training does it once for all samples and then only calls
    :meth:`classify`. ``forward`` is both.

    Attributes:
        inputs: the layer that :meth:`classify` begins with.
    """

    inputs: Inputs

    def fit_inputs(self, train: Samples) -> None:
        """Set what is read off the train split before training; ``train`` is reduced."""
        self.inputs.fit(train.track_batches())

    def standardised(self, samples: Samples, dtype: torch.dtype) -> Samples:
        """Reduced samples after what :meth:`classify` would do to every batch first, where that can be done once."""
        return self.inputs.standardised(samples, dtype)

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From x (…, T, D) and mask (…, T) to fewer steps: (…, T', D') and (…, T'). Here: as they are."""
        return x, mask

    @property
    def reduces(self) -> bool:
        """Whether :meth:`reduce` does anything; if so, it leaves one step, or as many of every clip."""
        return False

    @abstractmethod
    def classify(self, batch: Batch) -> HeadOutput:
        """Logits, and what else the head says, from a batch whose steps went through :meth:`reduce`."""

    def forward(self, batch: Batch) -> HeadOutput:
        """Logits, and what else the head says, from a batch of features."""
        return self.classify(batch.with_tracks(*self.reduce(batch.tracks, batch.steps)))


def module_key(task: str) -> str:
    """A name for the module of a task: none that an attribute has, and without the dots that it may not have."""
    return f"task:{task.replace('.', ':')}"
