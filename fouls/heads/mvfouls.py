"""``mvfouls``: the multi-task head of MVFouls: pool places, look at time, pool views, shared layers, an output a task.

Reads one vector a view (``mean``), steps (``temporal``), or the grid (T', H, W) of ``tokens``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import (
    Head,
    HeadConfig,
    check_choice,
    check_grid,
    check_one_label_a_sample,
    check_range,
    module_key,
)
from fouls.heads.inputs import Inputs
from fouls.heads.outputs import TaskOutputs
from fouls.heads.pooling import AttentionPool, ViewPooling, masked_max, masked_mean
from fouls.heads.tasks import Task

SpatialPooling = Literal["average", "max", "attention"]
Temporal = Literal["none", "tconv", "lstm"]

_DILATIONS = (1, 2, 3)
_LEAST_GROUP = 4  # of two features a norm leaves only which is the larger


@dataclass(frozen=True, kw_only=True)
class MvfoulsConfig(HeadConfig):
    """Options of ``mvfouls``."""

    default_pools: ClassVar[tuple[str, ...]] = ("temporal",)
    reads_tokens: ClassVar[bool] = True

    spatial_pooling: SpatialPooling | None = None
    """How the places of a step become one vector; ``None``: ``average``, of a grid."""
    temporal: Temporal = "none"
    """What is done in time: the mean over steps; depthwise convolutions before it; or an LSTM with attention."""
    lstm_hidden: int = 256
    """Width of the LSTM's state, in each direction."""
    view_pooling: ViewPooling = "attention"
    """How the tracks of a sample become one vector."""
    temperature: float = 1.0
    """Of the attention over views: the lower, the more the best view takes."""
    hidden: int = 2048
    """Width of the shared layers."""
    num_layers: int = 2
    """Shared layers."""
    num_groups: int = 32
    """Groups of GroupNorm; a divisor of ``hidden``, of 4 features at least."""
    dropout: float = 0.3
    """After every shared layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spatial_pooling is not None:
            check_choice("spatial pooling", self.spatial_pooling, SpatialPooling)
        check_choice("temporal", self.temporal, Temporal)
        check_range("LSTM's hidden width", self.lstm_hidden, 1, 65536)
        check_choice("view pooling", self.view_pooling, ViewPooling)
        check_range("temperature", self.temperature, 1e-3, 1e3)
        check_range("hidden", self.hidden, 1, 65536)
        check_range("layers", self.num_layers, 1, 16)
        check_range("dropout", self.dropout, 0, 1, open_end=True)
        if self.num_groups < 1 or self.hidden % self.num_groups or self.hidden < _LEAST_GROUP * self.num_groups:
            raise ConfigError(
                f"hidden is {self.hidden}; it must be a multiple of the {self.num_groups} norm groups, "
                f"{_LEAST_GROUP} times at least"
            )

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form: the average over places, where there are any.

        Raises:
            ConfigError: a task has a label a frame, the features are no grid although places are to be pooled, or have
                one step although time is to be looked at.
        """
        check_one_label_a_sample("mvfouls", tasks)
        check_grid("mvfouls", form)
        if self.spatial_pooling is not None and form.grid is None:
            raise ConfigError(
                f"spatial pooling is {self.spatial_pooling!r}, but these features are no grid: take --pool tokens, or "
                "leave it out"
            )
        if self.temporal != "none" and (form.num_steps if form.grid is None else form.grid[0]) < 2:
            raise ConfigError(
                f"temporal is {self.temporal!r}, but these features have one time step a track: take a pool with "
                "several (`fouls extract --pool temporal`), or temporal 'none'"
            )
        spatial = self.spatial_pooling if form.grid is None else self.spatial_pooling or "average"
        return dataclasses.replace(self, spatial_pooling=spatial)

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return Mvfouls(self, form, tasks)


class Mvfouls(Head):
    """pool places → inputs → time → pool views → shared layers → an output a task × its learned scale.

    Outputs other than ``linear`` have a scale of their own, and no learned one. Average and maximum over places, and
    the mean over time where nothing else is done with it, are taken once, before training. The weights of an attention
    over views are in ``extras.view_weights``.
    """

    def __init__(self, config: MvfoulsConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.places = 1 if form.grid is None else form.grid[1] * form.grid[2]
        self.spatial_pooling = config.spatial_pooling
        self.view_pooling = config.view_pooling
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        width = self.inputs.width
        self.spatial = AttentionPool(width) if config.spatial_pooling == "attention" else None
        self.temporal, width = _temporal(config, width)
        self.time_first = config.temporal == "none" and self.spatial is None and not form.pose_width
        self.views = (
            AttentionPool(width, temperature=config.temperature) if config.view_pooling == "attention" else None
        )
        widths = [width, *[config.hidden] * config.num_layers]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.GroupNorm(config.num_groups, after), nn.ReLU()]
            layers += [Dropout(config.dropout)]
        self.shared = nn.Sequential(*layers)
        self.outputs = TaskOutputs(config, config.hidden, tasks)
        self.scales = nn.ParameterDict(
            {module_key(task.name): torch.ones(()) for task in tasks} if config.output == "linear" else {}
        )

    @property
    def reduces(self) -> bool:
        return self.time_first or (self.places > 1 and self.spatial is None)

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From the places (…, S × H × W, D) of S steps to the steps (…, S, D), and where time is its mean to one."""
        if self.spatial is None and self.places > 1:
            x = x.reshape(*x.shape[:-2], -1, self.places, x.shape[-1])
            x = x.amax(dim=-2) if self.spatial_pooling == "max" else x.mean(dim=-2)
            mask = mask.reshape(*mask.shape[:-1], -1, self.places)[..., 0]
        if self.time_first:
            x, mask = masked_mean(x, mask)[..., None, :], mask.any(dim=-1, keepdim=True)
        return x, mask

    def classify(self, batch: Batch) -> HeadOutput:
        mask = batch.steps  # (N, S), or the places of all steps where attention pools them
        x = self.inputs(batch)
        if self.spatial is not None:
            x = x.reshape(len(x), -1, self.places, x.shape[-1])  # (N, S, H × W, D)
            x, _ = self.spatial(x, torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device))
            mask = mask.reshape(len(mask), -1, self.places)[..., 0]
        tracks, present = batch.unpack(self.temporal(x, mask)), batch.present  # (B, V, H), (B, V)
        weights: dict[str, Tensor] = {}
        if self.views is not None:
            sample, weights["views"] = self.views(tracks, present)  # (B, H), (B, V)
        else:
            sample = masked_max(tracks, present) if self.view_pooling == "max" else masked_mean(tracks, present)
        logits = self.outputs(self.shared(sample))
        if self.scales:
            logits = {name: each * self.scales[module_key(name)] for name, each in logits.items()}
        return HeadOutput(logits, Extras(view_weights=weights))


def _temporal(config: MvfoulsConfig, width: int) -> tuple[nn.Module, int]:
    """A module from x (N, S, D) and mask (N, S) to (N, H), and H."""
    match config.temporal:
        case "none":
            return TimeMean(), width
        case "tconv":
            return TimeConvolutions(width), width
        case "lstm":
            return TimeLstm(width, config.lstm_hidden), 2 * config.lstm_hidden


class TimeMean(nn.Module):
    """The mean over steps."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, S, D) and mask (N, S) to (N, D)."""
        return masked_mean(x, mask)


class TimeConvolutions(nn.Module):
    """Residual depthwise convolutions, kernel 3, dilations 1, 2 and 3, with ReLU; then the mean over steps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DepthwiseConvolution(dim, dilation) for dilation in _DILATIONS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, S, D), 0 where the mask is false, and mask (N, S) to (N, D)."""
        keep = mask[..., None].to(x.dtype)  # (N, S, 1)
        for layer in self.layers:
            x = (x + F.relu(layer(x))) * keep
        return masked_mean(x, mask)


class DepthwiseConvolution(nn.Module):
    """A convolution over steps, kernel 3, of each feature by itself.

    Written as three products: on a CPU torch's grouped convolution takes many times as long for a few steps.
    """

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(3, dim).uniform_(-(3**-0.5), 3**-0.5))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """From (N, S, D) to (N, S, D); before the first step and after the last there is 0."""
        before, here, after = self.weight
        padded = F.pad(x, (0, 0, self.dilation, self.dilation))
        later = padded[:, 2 * self.dilation :]
        moved: Tensor = padded[:, : x.shape[1]] * before + x * here + later * after + self.bias
        return moved


class TimeLstm(nn.Module):
    """A bidirectional LSTM over the steps, and attention over its states."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.attention = AttentionPool(2 * hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, S, D) and mask (N, S), true for the first steps of each, to (N, 2 × hidden)."""
        packed = pack_padded_sequence(x, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        pooled: Tensor = self.attention(states, mask)[0]
        return pooled
