"""What every head is: a config that builds a module; and the frame that ``linear``, ``mlp`` and ``tcn`` share."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args

from torch import Tensor, nn

from fouls.errors import ConfigError
from fouls.heads.pooling import Standardise, TimePooling, ViewPool, ViewPooling, pool_time, pooled_width
from fouls.heads.samples import Samples
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class HeadConfig(ABC):
    """The options that all heads have. A head is a subclass with its own options; its ``build`` makes the module."""

    wants_time_steps: ClassVar[bool] = False
    """Given the choice, the head rather reads a pool with time steps."""

    view_pooling: ViewPooling = "mean"
    """How the tracks of a sample (views × clips × crops) become one vector."""
    time_pooling: TimePooling | None = None
    """How time steps become one vector; ``None``: see :meth:`resolved`."""
    standardise: bool = True
    """Inputs get mean 0 and standard deviation 1 over the train split."""

    def __post_init__(self) -> None:
        check_choice("view pooling", self.view_pooling, ViewPooling)
        if self.time_pooling is not None:
            check_choice("time pooling", self.time_pooling, TimePooling)

    def resolved(self, num_steps: int) -> Self:
        """The config for inputs of T steps, with nothing left open: ``mean_std`` where T > 1, else ``mean``.

        The spread in time is what carries motion in features of a backbone that was not trained for it.
        """
        kind = self.time_pooling or ("mean_std" if num_steps > 1 else "mean")
        return dataclasses.replace(self, time_pooling=kind)

    @abstractmethod
    def build(self, dim: int, tasks: Sequence[Task]) -> Head:
        """Make the module for features of width D; the config must be resolved."""

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON types."""
        return dataclasses.asdict(self)


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


class Head(nn.Module, ABC):
    """A module from padded features to logits by task.

    What :meth:`reduce` does has no parameters: training does it once for all samples and then only calls
    :meth:`classify`. ``forward`` is both.
    """

    def fit_inputs(self, train: Samples) -> None:
        """Set what is read off the train split before training; ``train`` is reduced."""

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From x (…, T, D) and mask (…, T) to fewer steps: (…, T', D') and (…, T'). Here: as they are."""
        return x, mask

    @property
    def reduces(self) -> bool:
        """Whether :meth:`reduce` does anything; if so, it leaves one step."""
        return False

    @abstractmethod
    def classify(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits from what :meth:`reduce` gives, (B, V, T', D') and mask (B, V, T').

        Returns:
            Task → (B, classes), or (B, V, T', classes) for a task with a label a frame.
        """

    def forward(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits from x (B, V, T, D) float32 and mask (B, V, T) bool."""
        return self.classify(*self.reduce(x, mask))


class MultiTaskHead(Head):
    """standardise → trunk → pool time → pool views → one linear layer a task.

    A task with a label a frame reads the trunk's output at every step instead. With ``time_first`` and no such task,
    time is pooled before everything else.
    """

    def __init__(
        self,
        config: HeadConfig,
        dim: int,
        tasks: Sequence[Task],
        *,
        trunk: Callable[[int], tuple[nn.Module, int]],
        time_first: bool,
        dropout: float,
    ) -> None:
        """Build the layers.

        Args:
            config: resolved.
            dim: D of the features.
            tasks: one output each.
            trunk: from the width of its input to a module (N, T, D'), (N, T) → (N, T, H), and H.
            time_first: time can be pooled before the trunk.
            dropout: before the outputs.
        """
        super().__init__()
        assert config.time_pooling is not None
        self.time_pooling: TimePooling = config.time_pooling
        self.time_first = time_first and not any(task.per_frame for task in tasks)
        width_in = pooled_width(dim, self.time_pooling) if self.time_first else dim
        self.standardise = Standardise(width_in) if config.standardise else None
        self.trunk, width = trunk(width_in)
        pooled = width if self.time_first else pooled_width(width, self.time_pooling)
        self.view_pool = ViewPool(pooled, config.view_pooling)
        self.dropout = nn.Dropout(dropout)
        self.per_frame = {task.name for task in tasks if task.per_frame}
        self.outputs = nn.ModuleDict(
            {_key(task.name): nn.Linear(width if task.per_frame else pooled, len(task.classes)) for task in tasks}
        )
        self.task_names = tuple(task.name for task in tasks)

    def fit_inputs(self, train: Samples) -> None:
        if self.standardise is not None:
            self.standardise.fit(train.track_batches())

    @property
    def reduces(self) -> bool:
        return self.time_first

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not self.time_first:
            return x, mask
        return pool_time(x, mask, self.time_pooling)[..., None, :], mask.any(dim=-1, keepdim=True)

    def classify(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        present = mask.any(dim=-1)  # (B, V)
        steps = mask[present]  # (N, T): the trunk sees tracks that are there, no padding between them
        tracks = x[present]  # (N, T, D')
        tracks = (
            tracks.masked_fill(~steps[..., None], 0.0) if self.standardise is None else self.standardise(tracks, steps)
        )
        hidden = self.trunk(tracks, steps)  # (N, T, H)
        logits: dict[str, Tensor] = {}
        if len(self.per_frame) < len(self.task_names):
            pooled = hidden[:, 0] if self.time_first else pool_time(hidden, steps, self.time_pooling)  # (N, H')
            sample = self.dropout(self.view_pool(_unpack(pooled, present), present))  # (B, H')
        for name in self.task_names:
            output = self.outputs[_key(name)]
            if name in self.per_frame:
                logits[name] = _unpack(output(self.dropout(hidden)), present)  # (B, V, T, classes)
            else:
                logits[name] = output(sample)  # (B, classes)
        return logits


def _unpack(tracks: Tensor, present: Tensor) -> Tensor:
    """Tracks (N, …) back at their places (B, V, …), 0 elsewhere."""
    padded = tracks.new_zeros(*present.shape, *tracks.shape[1:])
    return padded.index_put((present,), tracks)


def _key(task: str) -> str:
    """A name that no attribute of a module has, and without the dots that it may not have."""
    return f"task:{task.replace('.', ':')}"
