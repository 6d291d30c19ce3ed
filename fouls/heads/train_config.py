"""How a head is trained: the options of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from fouls.errors import ConfigError
from fouls.heads.head import check_choice, check_range
from fouls.heads.precision import Precision
from fouls.heads.training.mixing import MixingConfig
from fouls.heads.training.sampling import Sampling
from fouls.heads.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a head is trained."""

    epochs: int = 100
    """At most: early stopping may end it before."""
    batch_size: int = 64
    """Samples a step."""
    lr: float = 1e-3
    """AdamW's learning rate after the warm-up."""
    weight_decay: float = 0.05
    """AdamW's, on matrices only: biases and norms do not decay."""
    warmup_epochs: float = 2.0
    """Epochs in which the learning rate grows from 0."""
    schedule: Schedule = "cosine"
    """How it falls to 0 afterwards, or stays."""
    clip_norm: float = 1.0
    """The gradient's norm is cut to this."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights, which is what is measured and kept, such as 0.999; 0: no average."""
    mixing: MixingConfig = field(default_factory=MixingConfig)
    """Mixup and cutmix on features."""
    sampling: Sampling = "shuffle"
    """Which samples an epoch shows: each once, or classes drawn evenly."""
    sampling_task: str | None = None
    """The task whose classes are drawn evenly; ``None``: the first with a label a sample."""
    precision: Precision = "auto"
    """In which matrix products are computed in training, see :mod:`fouls.heads.precision`."""
    threads: int = 1
    """Threads on a CPU. Two are faster on an idle machine, for ``tcn`` most; beside other work they are much slower."""
    patience: int = 20
    """Epochs without a better score on valid after which training stops; the best weights are restored."""
    valid_fraction: float = 0.0
    """Share of train's samples that is set aside as valid where the manifest has no such split."""
    seed: int = 0
    """Decides the first weights, the batches, the dropout, and the samples set aside."""

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, 1e6)
        check_range("batch size", self.batch_size, 1, 1e6)
        check_range("weight decay", self.weight_decay, 0, 1e3)
        check_range("warm-up epochs", self.warmup_epochs, 0, 1e6)
        check_choice("schedule", self.schedule, Schedule)
        check_range("EMA decay", self.ema_decay, 0, 1, open_end=True)
        check_choice("sampling", self.sampling, Sampling)
        check_choice("precision", self.precision, Precision)
        check_range("threads", self.threads, 1, 1024)
        check_range("patience", self.patience, 1, 1e6)
        check_range("valid fraction", self.valid_fraction, 0, 0.9)
        check_range("seed", self.seed, 0, 2**63 - 1)
        for name, value in (("learning rate", self.lr), ("clip norm", self.clip_norm)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value:g}; it must be greater than 0")

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> TrainConfig:
        """The inverse of ``dataclasses.asdict``."""
        return cls(**{**plain, "mixing": MixingConfig(**plain["mixing"])})
