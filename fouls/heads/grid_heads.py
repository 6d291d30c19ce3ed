"""``tsn``, ``i3d`` and ``timesformer``: a linear layer on the mean over a clip, with assisting outputs at every step.

The heads of the solution that won MAC 2024, on a grid of tokens (T', H, W). TSN takes the mean over places, then over
steps; I3D the mean over both at once; TimeSformer reads one feature a clip. All places count the same, so the three are
one function, and one module here; they differ in what they rather read and in their defaults. On pool ``temporal`` the
mean over places is taken already, and they are the same as on ``tokens``.

Assisting outputs (*frame assisting*; *coarse* too, where that task is trained) look at single steps; only losses read
them. The published squeeze-and-excitation gives its gate instead of the gated feature: ``published_gate`` does so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor, nn

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, HeadConfig, check_grid, check_one_label_a_sample, check_range, module_key
from fouls.heads.inputs import Inputs, width_after
from fouls.heads.outputs import TaskOutputs, output_layer
from fouls.heads.pooling import average_probabilities, masked_mean
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class GridHeadConfig(HeadConfig):
    """Options of ``tsn``, ``i3d`` and ``timesformer``."""

    reads_tokens: ClassVar[bool] = True
    name: ClassVar[str]

    dropout: float = 0.5
    """Before the main outputs."""
    assisting: bool = True
    """Every task gets an assisting output at every step."""
    assisting_reduction: int = 16
    """r of the squeeze-and-excitation in the assisting outputs: how many times narrower its hidden layer is."""
    published_gate: bool = False
    """The squeeze-and-excitation gives its gate alone, as in the published code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("dropout", self.dropout, 0, 1, open_end=True)
        check_range("assisting reduction", self.assisting_reduction, 1, 65536)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config as it is.

        Raises:
            ConfigError: a task has a label a frame, the grid of the tokens is not known, or there are no steps for the
                assisting outputs.
        """
        check_one_label_a_sample(self.name, tasks)
        check_grid(self.name, form)
        width = width_after(form, self.project)
        if self.assisting and form.num_steps < 2:
            raise ConfigError(
                f"the assisting outputs of head {self.name!r} look at single steps, but these features have one a "
                "track: take --pool tokens or temporal, or set assisting to false"
            )
        if self.assisting and width < self.assisting_reduction:
            raise ConfigError(
                f"assisting reduction is {self.assisting_reduction}, more than the width {width} of the features"
            )
        return self

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return GridHead(self, form, tasks)


@dataclass(frozen=True, kw_only=True)
class TsnConfig(GridHeadConfig):
    """Options of ``tsn``: mean over places, mean over steps, dropout, linear."""

    name: ClassVar[str] = "tsn"
    default_pools: ClassVar[tuple[str, ...]] = ("tokens", "temporal")


@dataclass(frozen=True, kw_only=True)
class I3dConfig(GridHeadConfig):
    """Options of ``i3d``: mean over time and space, dropout, linear."""

    name: ClassVar[str] = "i3d"
    default_pools: ClassVar[tuple[str, ...]] = ("tokens", "temporal")


@dataclass(frozen=True, kw_only=True)
class TimesformerConfig(GridHeadConfig):
    """Options of ``timesformer``: dropout, linear on one feature a clip (``mean``, ``cls``; of a grid its mean)."""

    name: ClassVar[str] = "timesformer"

    assisting: bool = False


class GridHead(Head):
    """mean over places → inputs → mean over steps → dropout → outputs; tracks are averaged as probabilities.

    The mean over places has no parameters and is taken once, before training; without assisting outputs so is that over
    steps.
    """

    def __init__(self, config: GridHeadConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.places = 1 if form.grid is None else form.grid[1] * form.grid[2]
        self.reads_steps = config.assisting or form.pose_width > 0
        self.multi_label = {task.name for task in tasks if task.multi_label}
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        width = self.inputs.width
        self.dropout = Dropout(config.dropout)
        self.outputs = TaskOutputs(config, width, tasks)
        self.assisting = nn.ModuleDict(
            {module_key(task.name): AssistingOutput(width, len(task.classes), config) for task in tasks}
            if config.assisting
            else {}
        )
        self.task_names = tuple(task.name for task in tasks)

    @property
    def reduces(self) -> bool:
        return self.places > 1 or not self.reads_steps

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From the tokens (…, S × H × W, D) of S steps to (…, S, D), and where nothing reads steps on to (…, 1, D)."""
        x = x.reshape(*x.shape[:-2], -1, self.places, x.shape[-1]).mean(dim=-2)
        mask = mask.reshape(*mask.shape[:-1], -1, self.places)[..., 0]
        if self.reads_steps:
            return x, mask
        return masked_mean(x, mask)[..., None, :], mask.any(dim=-1, keepdim=True)

    def classify(self, batch: Batch) -> HeadOutput:
        steps = self.inputs(batch)  # (N, S, D)
        by_task = self.outputs(self.dropout(masked_mean(steps, batch.steps)))
        logits = {
            name: average_probabilities(batch.unpack(tracks), batch.present, multi_label=name in self.multi_label)
            for name, tracks in by_task.items()
        }  # (B, classes)
        if not self.assisting:
            return HeadOutput(logits, Extras())
        assisting = {name: batch.unpack(self.assisting[module_key(name)](steps)) for name in self.task_names}
        return HeadOutput(
            logits,
            Extras(
                assisting={name: each.flatten(1, 2) for name, each in assisting.items()},  # (B, V × S, classes)
                assisting_mask=batch.mask.flatten(1),
            ),
        )


class AssistingOutput(nn.Module):
    """squeeze-and-excitation → output layer, at every step by itself."""

    def __init__(self, dim: int, num_classes: int, config: GridHeadConfig) -> None:
        super().__init__()
        self.excite = SqueezeExcitation(dim, config.assisting_reduction, gate_only=config.published_gate)
        self.output = output_layer(config, dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """From (…, D) to (…, classes)."""
        logits: Tensor = self.output(self.excite(x))
        return logits


class SqueezeExcitation(nn.Module):
    """x · σ(W₂ ReLU(W₁ x)), of a feature that is a mean over places already.

    Source: Hu et al. 2018 (arXiv 1709.01507, equation 3).
    """

    def __init__(self, dim: int, reduction: int, *, gate_only: bool = False) -> None:
        """Make the layers.

        Args:
            dim: D
            reduction: r; the hidden layer has D / r features.
            gate_only: give σ(…) instead of its product with x.
        """
        super().__init__()
        hidden = dim // reduction
        self.gate = nn.Sequential(
            nn.Linear(dim, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, dim, bias=False), nn.Sigmoid()
        )
        self.gate_only = gate_only

    def forward(self, x: Tensor) -> Tensor:
        """From (…, D) to (…, D)."""
        gate: Tensor = self.gate(x)
        return gate if self.gate_only else x * gate
