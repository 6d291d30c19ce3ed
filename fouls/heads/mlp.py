"""``mlp``: hidden layers that all tasks share. Time is pooled first; views are pooled after the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from fouls.heads.batch import InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, PoolingHeadConfig, check_range
from fouls.heads.multi_task import MultiTaskHead
from fouls.heads.products import Linear
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class MlpConfig(PoolingHeadConfig):
    """Options of ``mlp``."""

    low_precision: ClassVar[bool] = True

    hidden: int = 256
    """Width of the hidden layers."""
    num_layers: int = 1
    """Hidden layers."""
    dropout: float = 0.3
    """After every hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("hidden", self.hidden, 1, 65536)
        check_range("layers", self.num_layers, 1, 16)
        check_range("dropout", self.dropout, 0, 1, open_end=True)

    @property
    def stacks(self) -> bool:
        return self.view_pooling == "mean" and self.output == "linear"

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return MultiTaskHead(
            self,
            form,
            tasks,
            trunk=lambda width: (Mlp(width, self), self.hidden),
            time_first=True,
            dropout=self.dropout,
        )


class Mlp(nn.Module):
    """Linear → LayerNorm → GELU, with dropout between layers (the one after the last stands before the outputs)."""

    def __init__(self, dim: int, config: MlpConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(config.num_layers):
            width = config.hidden if index else dim
            layers += [Dropout(config.dropout)] if index else []
            layers += [Linear(width, config.hidden), nn.LayerNorm(config.hidden), nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, T, D) to (N, T, H); each step on its own, so the mask has no say."""
        dtype = x.dtype
        for layer in self.layers:
            x = layer(x.to(dtype) if isinstance(layer, Linear) else x)
        return x
