"""``attentive``: one learned query looks at all rows of all clips and views; a linear layer a task on what it saw.

The attentive probe of V-JEPA (Bardes et al. 2024, arXiv 2404.08471), and with ``depth=4, num_heads=16`` that of
V-JEPA 2 (Assran et al. 2025, arXiv 2506.09985): three self-attention blocks before the one with the query. As in the
authors' code the query is not normed, and no layer follows the heads of its attention. What is ours: the mask, and
several tasks, which share the query.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.errors import ConfigError
from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, HeadConfig, check_one_label_a_sample, check_range
from fouls.heads.inputs import Inputs, width_after
from fouls.heads.outputs import TaskOutputs
from fouls.heads.tasks import Task

_INIT_STD = 0.02
_USUAL_NUM_HEADS = (12, 16)


@dataclass(frozen=True, kw_only=True)
class AttentiveConfig(HeadConfig):
    """Options of ``attentive``; the defaults are V-JEPA's."""

    default_pools: ClassVar[tuple[str, ...]] = ("tokens", "temporal")
    reads_tokens: ClassVar[bool] = True

    num_heads: int | None = None
    """Heads of every attention, a divisor of the width; ``None``: 12, or 16 where only that divides it."""
    depth: int = 1
    """Blocks: the last has the query, those before it are of self-attention."""
    mlp_ratio: int = 4
    """Hidden width of the blocks' MLPs, in widths."""
    dropout: float = 0.0
    """Of what the query saw, before the outputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_heads is not None:
            check_range("heads of attention", self.num_heads, 1, 1024)
        check_range("depth", self.depth, 1, 64)
        check_range("MLP ratio", self.mlp_ratio, 1, 64)
        check_range("dropout", self.dropout, 0, 1, open_end=True)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form, with a number of heads.

        Raises:
            ConfigError: the number of heads does not divide the width, or a task has a label a frame.
        """
        check_one_label_a_sample("attentive", tasks)
        width = width_after(form, self.project)
        usual = next((number for number in _USUAL_NUM_HEADS if width % number == 0), _USUAL_NUM_HEADS[0])
        num_heads = self.num_heads or usual
        if width % num_heads:
            divisors = ", ".join(str(number) for number in range(1, min(width, 64) + 1) if width % number == 0)
            raise ConfigError(
                f"num_heads is {num_heads}, which does not divide the width {width} of the features; these do: "
                f"{divisors}"
            )
        return dataclasses.replace(self, num_heads=num_heads)

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return Attentive(self, form, tasks)


class Attentive(Head):
    """inputs → self-attention blocks (``depth`` − 1) → a block in which the query looks at all rows → outputs."""

    def __init__(self, config: AttentiveConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__()
        assert config.num_heads is not None
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        width = self.inputs.width
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.ModuleList(SelfAttentionBlock(width, config) for _ in range(config.depth - 1))
        self.look = QueryBlock(width, config)
        self.dropout = Dropout(config.dropout)
        self.outputs = TaskOutputs(config, width, tasks)
        self._initialise()

    def _initialise(self) -> None:
        """The authors' first weights: normal, std 0.02; those that lead back to the residual stream are smaller."""
        nn.init.trunc_normal_(self.query, std=_INIT_STD)
        for layer in (*self.blocks.modules(), *self.look.modules()):
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=_INIT_STD)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.look.mlp.leave.weight.div_(math.sqrt(2))
            for number, block in enumerate(self.blocks, start=2):
                assert isinstance(block, SelfAttentionBlock)
                for layer in (block.leave, block.mlp.leave):
                    layer.weight.div_(math.sqrt(2 * number))

    def classify(self, batch: Batch) -> HeadOutput:
        mask = batch.mask.flatten(1)  # (B, N): the steps of all tracks
        x = batch.unpack(self.inputs(batch)).flatten(1, 2)  # (B, N, D)
        for block in self.blocks:
            x = block(x, mask)
        seen = self.look(self.query.expand(len(x), -1, -1), x, mask)[:, 0]  # (B, D)
        return HeadOutput(self.outputs(self.dropout(seen)), Extras())


class SelfAttentionBlock(nn.Module):
    """x + attention(LayerNorm(x)), then x + MLP(LayerNorm(x))."""

    def __init__(self, dim: int, config: AttentiveConfig) -> None:
        super().__init__()
        assert config.num_heads is not None
        self.num_heads = config.num_heads
        self.norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.leave = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = BlockMlp(dim, config.mlp_ratio)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (B, N, D), finite, and mask (B, N) to (B, N, D), arbitrary but finite where the mask is false."""
        queries, keys, values = self.queries_keys_values(self.norm(x)).chunk(3, dim=-1)
        x = x + self.leave(attend(queries, keys, values, mask, self.num_heads))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class QueryBlock(nn.Module):
    """q + attention(q, LayerNorm(x)), then q + MLP(LayerNorm(q))."""

    def __init__(self, dim: int, config: AttentiveConfig) -> None:
        super().__init__()
        assert config.num_heads is not None
        self.num_heads = config.num_heads
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Linear(dim, dim)
        self.keys_values = nn.Linear(dim, 2 * dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = BlockMlp(dim, config.mlp_ratio)

    def forward(self, query: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """From queries (B, Q, D), x (B, N, D), finite, and mask (B, N) to (B, Q, D)."""
        keys, values = self.keys_values(self.norm(x)).chunk(2, dim=-1)
        query = query + attend(self.queries(query), keys, values, mask, self.num_heads)
        out: Tensor = query + self.mlp(self.mlp_norm(query))
        return out


class BlockMlp(nn.Module):
    """Linear → GELU → Linear."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, ratio * dim)
        self.leave = nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """From (…, D) to (…, D)."""
        out: Tensor = self.leave(F.gelu(self.enter(x)))
        return out


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, num_heads: int) -> Tensor:
    """Attention with several heads.

    Args:
        queries: (B, Q, D)
        keys: (B, N, D)
        values: (B, N, D)
        mask: (B, N): which keys may be looked at; one at least.
        num_heads: a divisor of D.

    Returns:
        (B, Q, D): softmax(q kᵀ / √(D / heads)) v of each head, side by side.
    """
    queries, keys, values = (x.reshape(*x.shape[:2], num_heads, -1).transpose(1, 2) for x in (queries, keys, values))
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None, None, :])
    return attended.transpose(1, 2).flatten(2)  # (B, heads, Q, D / heads) → (B, Q, D)
