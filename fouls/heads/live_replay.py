"""``live_replay``: each view carries whether it is live or a replay; the maximum over views is classified.

The second stage of the system that won MVFoul 2025, which trains only heads, on cached features of randomly augmented
passes of all views: an embedding of the view's kind is added to its features, then comes the maximum over views. What
else its head has is not published; here follow hidden layers of an MLP, and an output a task.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from fouls.heads.batch import NUM_VIEW_KINDS, UNKNOWN_KIND, Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, check_one_label_a_sample, check_range
from fouls.heads.outputs import TaskOutputs
from fouls.heads.pooling import ViewPool, ViewPooling
from fouls.heads.tasks import Task
from fouls.heads.track_vectors import TrackVectorConfig, TrackVectorHead

_INIT_STD = 0.02


@dataclass(frozen=True, kw_only=True)
class LiveReplayConfig(TrackVectorConfig):
    """Options of ``live_replay``."""

    view_pooling: ViewPooling = "max"
    """How the tracks of a sample become one vector."""
    hidden: int = 512
    """Width of the hidden layers."""
    num_layers: int = 1
    """Hidden layers; 0: the outputs read the pooled vector."""
    dropout: float = 0.3
    """After every hidden layer, and before the outputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("hidden", self.hidden, 1, 65536)
        check_range("layers", self.num_layers, 0, 16)
        check_range("dropout", self.dropout, 0, 1, open_end=True)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config with a time pooling, the mean unless said otherwise.

        Raises:
            ConfigError: a task has a label a frame.
        """
        check_one_label_a_sample("live_replay", tasks)
        return super().resolved(form, tasks)

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return LiveReplay(self, form, tasks)


class LiveReplay(TrackVectorHead):
    """pool time → inputs → + embedding of the view's kind → pool views → MLP → outputs.

    The embedding of a view whose kind is not known starts at 0.
    """

    def __init__(self, config: LiveReplayConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__(config, form)
        self.kinds = nn.Embedding(NUM_VIEW_KINDS, self.width)
        nn.init.normal_(self.kinds.weight, std=_INIT_STD)
        with torch.no_grad():
            self.kinds.weight[UNKNOWN_KIND] = 0.0
        self.view_pool = ViewPool(self.width, config.view_pooling)
        widths = [self.width, *[config.hidden] * config.num_layers]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU(), Dropout(config.dropout)]
        self.hidden = nn.Sequential(*(layers or [Dropout(config.dropout)]))
        self.outputs = TaskOutputs(config, widths[-1], tasks)

    def classify(self, batch: Batch) -> HeadOutput:
        x = self.vectors(batch) + self.kinds(batch.view_kinds)  # (B, V, H)
        sample = self.hidden(self.view_pool(x, batch.present))  # (B, H)
        return HeadOutput(self.outputs(sample), Extras())
