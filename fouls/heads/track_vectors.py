"""What ``vars`` and ``live_replay`` share: every track is one vector before views are looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from fouls.heads.batch import Batch, InputForm
from fouls.heads.head import Head, PoolingHeadConfig
from fouls.heads.inputs import Inputs
from fouls.heads.pooling import pool_time, pooled_width
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TrackVectorConfig(PoolingHeadConfig):
    """Options of the heads whose time pooling is the ``mean``, unless said otherwise."""

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config with a time pooling."""
        return dataclasses.replace(self, time_pooling=self.time_pooling or "mean")


class TrackVectorHead(Head):
    """pool time → inputs: :meth:`vectors`. With projections or a pose, which are learned, inputs come first."""

    def __init__(self, config: PoolingHeadConfig, form: InputForm) -> None:
        super().__init__()
        assert config.time_pooling is not None
        self.time_pooling = config.time_pooling
        self.time_first = not (config.project or form.pose_width)
        if self.time_first:
            form = InputForm(widths=(pooled_width(form.dim, self.time_pooling),))
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        self.width = self.inputs.width if self.time_first else pooled_width(self.inputs.width, self.time_pooling)
        """H of :meth:`vectors`."""

    @property
    def reduces(self) -> bool:
        return self.time_first

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not self.time_first:
            return x, mask
        return pool_time(x, mask, self.time_pooling)[..., None, :], mask.any(dim=-1, keepdim=True)

    def vectors(self, batch: Batch) -> Tensor:
        """The vector of each track, (B, V, H); 0 where there is none."""
        x = self.inputs(batch)
        return batch.unpack(x[:, 0] if self.time_first else pool_time(x, batch.steps, self.time_pooling))
