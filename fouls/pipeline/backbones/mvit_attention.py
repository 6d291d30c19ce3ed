"""torchvision's pooling attention of MViT with the parameters of the original, tile by tile on a CPU.

Three things differ, none of which changes more than the rounding. Pooling runs on tokens as they lie, which is torch's
``channels_last_3d``, instead of transposing them there and back. The relative positions are further dimensions of
queries and keys, so that the product of both has them in it. The scores are never held as a whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fouls.pipeline.backbones.attention import tiled_attention

Grid = tuple[int, int, int]
"""Steps in time, rows and columns of tokens."""


def tile(model: Any) -> None:
    """Put these modules in the place of those of torchvision's ``MViT``; its state dict gets other names by that."""
    for block in model.blocks:
        block.attn = TiledPoolingAttention(block.attn)
        if block.pool_skip is not None:
            block.pool_skip = TokenPool(block.pool_skip)


class TokenPool(nn.Module):
    """torchvision's ``Pool``: a pooling over the grid of tokens, with the class token left out."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.pool = original.pool
        self.norm = original.norm_act

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Tokens (…, 1 + N, D) on a grid of N → (…, 1 + N', D) and the grid of N'."""
        *outer, _, dim = x.shape
        dense = x[..., 1:, :].contiguous()  # one copy of whole tokens: anything else would be transposed
        maps = dense.view(-1, *grid, dim).permute(0, 4, 1, 2, 3)  # (…, D, T, H, W) in channels_last_3d
        pooled = self.pool(maps)
        time, height, width = pooled.shape[2:]
        tokens = pooled.permute(0, 2, 3, 4, 1).reshape(*outer, -1, dim)
        x = torch.cat((x[..., :1, :], tokens), -2)
        return x if self.norm is None else self.norm(x), (time, height, width)


class TiledPoolingAttention(nn.Module):
    """torchvision's ``MultiscaleAttention``."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        pools = (original.pool_q, original.pool_k, original.pool_v)
        self.qkv, self.project = original.qkv, original.project
        self.pools = nn.ModuleList(nn.Identity() if pool is None else TokenPool(pool) for pool in pools)
        self.rel_pos_t, self.rel_pos_h, self.rel_pos_w = original.rel_pos_t, original.rel_pos_h, original.rel_pos_w
        self.num_heads, self.scale = original.num_heads, original.scaler
        self.residual, self.residual_of_class = original.residual_pool, original.residual_with_cls_embed

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Tokens (B, 1 + N, C) on a grid of N → (B, 1 + N', D) and the grid of N', that of the queries."""
        qkv = self.qkv(x).view(*x.shape[:2], 3, self.num_heads, -1)
        parts = qkv.permute(2, 0, 3, 1, 4)  # (3, B, heads, 1 + N, D)
        (query, q_grid), (key, k_grid), (value, _) = (
            (part, grid) if isinstance(pool, nn.Identity) else pool(part, grid)
            for pool, part in zip(self.pools, parts, strict=True)
        )
        queries, keys = self.scale * query, key
        if self.rel_pos_h is not None:
            queries = torch.cat((queries, self._relative(query, q_grid, k_grid)), -1)
            keys = torch.cat((key, places(k_grid, key).expand(*key.shape[:2], -1, -1)), -1)
        out = tiled_attention(queries, keys, value, scale=1.0)  # (B, heads, 1 + N', D)
        if self.residual:
            first = 0 if self.residual_of_class else 1
            out[:, :, first:] += query[:, :, first:]
        return self.project(out.transpose(1, 2).flatten(2)), q_grid

    def _relative(self, query: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """What each query adds to the scores of every row, column and step of keys: (B, heads, 1 + N', H + W + T).

        Li et al., MViTv2, equation 4: the embedding of a distance is the sum of those of its three directions.
        """
        tokens = query[:, :, 1:].unflatten(2, q_grid)  # type: ignore[no-untyped-call]  # (B, heads, T', H', W', D)
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        time, rows, columns = (
            distances(table, steps, keys).mT for table, steps, keys in zip(tables, q_grid, k_grid, strict=True)
        )
        of_rows = tokens @ rows  # (H', D, H): one product a row of queries
        of_columns = (tokens.transpose(3, 4) @ columns).transpose(3, 4)
        of_time = tokens.flatten(3, 4) @ time
        parts = (of_rows.flatten(2, 4), of_columns.flatten(2, 4), of_time.flatten(2, 3))
        return nn.functional.pad(torch.cat(parts, -1), (0, 0, 1, 0))  # the class token has no place


def places(grid: Grid, like: Tensor) -> Tensor:
    """The row, column and step of each key as ones among zeros: (1 + M, H + W + T); the class token has none."""
    time, height, width = grid
    steps, rows, columns = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    ones = [nn.functional.one_hot(at.flatten(), size) for at, size in ((rows, height), (columns, width), (steps, time))]
    return nn.functional.pad(torch.cat(ones, -1), (0, 0, 1, 0)).to(like)


def distances(table: Tensor, queries: int, keys: int) -> Tensor:
    """The embeddings of the distances between places of queries and of keys in one direction: (queries, keys, D).

    As torchvision's ``_add_rel_pos``: the coarser of the two is spread over the finer, and a table of another length
    is interpolated.
    """
    from torchvision.models.video.mvit import _interpolate

    per_query, per_key = max(keys / queries, 1.0), max(queries / keys, 1.0)
    apart = torch.arange(queries)[:, None] * per_query - (torch.arange(keys)[None, :] + (1.0 - keys)) * per_key
    embedded: Tensor = _interpolate(table, 2 * max(queries, keys) - 1)[apart.long()]
    return embedded
