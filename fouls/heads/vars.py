"""``vars``: the multi-view head of VARS, on features that are frozen.

Source: Held et al. 2023 (arXiv 2304.04617). Views are aggregated by ``max``, ``mean`` or their ``attention``; then come
LayerNorm and two linear layers that the tasks share, and LayerNorm and two linear layers a task. As published, nothing
stands between two linear layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.head import Head, check_one_label_a_sample, check_range, module_key
from fouls.heads.outputs import output_layer
from fouls.heads.pooling import ViewPooling, masked_max, masked_mean
from fouls.heads.tasks import Task
from fouls.heads.track_vectors import TrackVectorConfig, TrackVectorHead


@dataclass(frozen=True, kw_only=True)
class VarsConfig(TrackVectorConfig):
    """Options of ``vars``."""

    view_pooling: ViewPooling = "attention"
    """How the tracks of a sample become one vector; ``attention`` is that of VARS, see :class:`VarsAttention`."""
    train_views: int | None = None
    """In training, so many tracks of each sample are drawn at every step, 2 as published; ``None``: all, as at test."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_views is not None:
            check_range("train views", self.train_views, 1, 1e6)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config with a time pooling, the mean unless said otherwise.

        Raises:
            ConfigError: a task has a label a frame.
        """
        check_one_label_a_sample("vars", tasks)
        return super().resolved(form, tasks)

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return Vars(self, form, tasks)


class Vars(TrackVectorHead):
    """pool time → inputs → draw views → aggregate → shared layers → layers a task."""

    def __init__(self, config: VarsConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__(config, form)
        width = self.width
        self.view_pooling = config.view_pooling
        self.train_views = config.train_views
        self.attention = VarsAttention(width) if config.view_pooling == "attention" else None
        self.shared = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width))
        self.outputs = nn.ModuleDict(
            {
                module_key(task.name): nn.Sequential(
                    nn.LayerNorm(width), nn.Linear(width, width), output_layer(config, width, len(task.classes))
                )
                for task in tasks
            }
        )
        self.task_names = tuple(task.name for task in tasks)

    def classify(self, batch: Batch) -> HeadOutput:
        x, present = self.vectors(batch), batch.present  # (B, V, H), (B, V)
        if self.training and self.train_views is not None:
            present = draw_views(present, self.train_views)
        weights: dict[str, Tensor] = {}
        if self.attention is not None:
            sample, weights["views"] = self.attention(x, present)
        else:
            sample = masked_max(x, present) if self.view_pooling == "max" else masked_mean(x, present)
        hidden = self.shared(sample)  # (B, H)
        logits = {name: self.outputs[module_key(name)](hidden) for name in self.task_names}
        return HeadOutput(logits, Extras(view_weights=weights))


class VarsAttention(nn.Module):
    """x ← x W; S = ReLU(x xᵀ) / Σ ReLU(x xᵀ); views weigh as the sums of S's columns."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.turn = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """From x (B, V, H), finite, and present (B, V) to (B, H) and the weights (B, V), which add up to 1.

        All views weigh the same where S is 0 / 0.
        """
        x = self.turn(x.masked_fill(~present[..., None], 0.0))
        similar = (x @ x.transpose(1, 2)).relu()  # (B, V, V), 0 where one of the two is not there
        total = similar.sum(dim=(1, 2), keepdim=True)
        even = present / present.sum(dim=1, keepdim=True)
        smallest = torch.finfo(x.dtype).tiny
        weights = torch.where(total[:, 0] > smallest, (similar / total.clamp(min=smallest)).sum(dim=1), even)
        return (weights[..., None] * x).sum(dim=1), weights


def draw_views(present: Tensor, count: int) -> Tensor:
    """At most ``count`` views of each sample, drawn evenly without replacement: (B, V) bool to (B, V) bool."""
    order = torch.rand(present.shape, device=present.device).masked_fill(~present, 2.0).argsort(dim=1)
    ranks = order.argsort(dim=1)  # (B, V), those that are there first
    return present & (ranks < count)
