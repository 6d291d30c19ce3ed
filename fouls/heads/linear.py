"""``linear``: a linear probe: pool time → standardise → pool views → dropout → one linear layer a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fouls.heads.batch import InputForm
from fouls.heads.head import Head, PoolingHeadConfig, check_range
from fouls.heads.multi_task import MultiTaskHead
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class LinearConfig(PoolingHeadConfig):
    """Options of ``linear``."""

    dropout: float = 0.3
    """Of the pooled features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("dropout", self.dropout, 0, 1, open_end=True)

    @property
    def stacks(self) -> bool:
        return self.view_pooling == "mean" and self.output == "linear"

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return MultiTaskHead(
            self, form, tasks, trunk=lambda width: (_NoTrunk(), width), time_first=True, dropout=self.dropout
        )


class _NoTrunk(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x
