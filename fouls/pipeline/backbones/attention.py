"""Attention as two matrix products with a softmax between, a tile of the scores at a time.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, equation 1: softmax(Q·Kᵀ / √d)·V. On CPUs torch's
``scaled_dot_product_attention`` reaches less than half of what a matrix product does in bf16: its blocks are too small
for oneDNN. Whole products over tiles that stay in the cache come near it; ``benchmarks/forward.py`` measures both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fouls.processor import cpu_multiplies_bf16

AttentionKind = Literal["tiled", "library"]
"""``tiled``: what is here. ``library``: what the library that the net is from does by itself."""

AddBias = Callable[[Tensor, slice, slice, slice], None]
"""Adds to a tile of scores (b, h, n, M) in place, which is these of the B, of the H and of the N."""

TILE_BYTES = 4 * 2**20
"""Of scores that are held at once: they stay in a CPU's caches, and are enough for a product to be efficient."""
ROW_MULTIPLE = 32
"""A tile that is less than a head has a multiple of so many rows."""
SAMPLE_STEP = 32
"""Every so manieth score of a row is looked at to find about how large its largest are."""
PIECES = 8
"""A sum of weights is had from so many, where they divide the row evenly."""
LARGEST_SUM = 2.0**64
"""Of weights that are not divided yet, and the inverse of the least: far inside what bf16 can hold."""
_IN_TRANSFORMERS = "fouls_tiled"


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a net's attention can be tiled."""

    switch: Callable[[], None]
    """Does it, for good."""
    pays_in_fp32: bool
    """Whether that is faster in fp32 too: where the library does not use torch's attention, but holds all scores."""

    def pays(self, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether tiles are faster: on a CPU, in bf16 where it multiplies that natively, or in fp32 as above."""
        if device.type != "cpu":
            return False
        return (dtype == torch.bfloat16 and cpu_multiplies_bf16()) or (dtype == torch.float32 and self.pays_in_fp32)


def tiled_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, add_bias: AddBias | None = None
) -> Tensor:
    """softmax(scale · query · keyᵀ + bias) · value. Products and the softmax accumulate in fp32, whatever the dtype.

    The scores themselves are held in the dtype of the query. In half precision each row is shifted first, so that
    those of its scores that count lie near 0, where rounding does not change them: the softmax does not see a shift.

    Args:
        query: (B, H, N, D).
        key: (B, H, M, D).
        value: (B, H, M, E).
        scale: of the scores, usually 1 / √D.
        add_bias: adds a bias to the scores.

    Returns:
        (B, H, N, E), contiguous.
    """
    batch, heads, rows, _ = query.shape
    columns = key.shape[2]
    queries, keys, values = (part.flatten(0, 1).contiguous() for part in (query, key, value))
    if query.dtype != torch.float32:
        queries, keys = _shifted(queries, keys, scale)
    unbiased = add_bias is None and query.dtype == torch.bfloat16
    out = query.new_empty(batch * heads, rows, value.shape[3])
    tile = _tile_shape(batch, heads, rows, columns * query.element_size())
    scratch = query.new_empty(math.prod(tile) * columns)
    for clips, some, lines in _tiles((batch, heads, rows), tile):
        span = slice(clips.start * heads + some.start, (clips.stop - 1) * heads + some.stop)
        shape = (span.stop - span.start, lines.stop - lines.start, columns)
        scores = scratch[: math.prod(shape)].view(shape)
        if unbiased and _by_sums(queries[span, lines], keys[span], values[span], scale, scores, out[span, lines]):
            continue
        torch.baddbmm(scores, queries[span, lines], keys[span].mT, beta=0, alpha=scale, out=scores)
        if add_bias is not None:
            add_bias(scores.view(-1, some.stop - some.start, *shape[1:]), clips, some, lines)
        torch.softmax(scores, -1, out=scores)
        torch.bmm(scores, values[span], out=out[span, lines])
    return out.view(batch, heads, rows, -1)


def _shifted(queries: Tensor, keys: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Queries and keys with a dimension more, which takes the largest of a sample of its scores from each row."""
    sample = torch.bmm(keys[:, ::SAMPLE_STEP], queries.mT)  # (B·H, M', N): torch is slow along short rows
    largest = sample.amax(1) if scale > 0 else sample.amin(1)
    return torch.cat((queries, -largest.unsqueeze(-1)), -1), F.pad(keys, (0, 1), value=1.0)


def _by_sums(queries: Tensor, keys: Tensor, values: Tensor, scale: float, scores: Tensor, out: Tensor) -> bool:
    """A tile of shifted rows with fewer passes over it than a softmax takes: sums divide the result, not the weights.

    The shift is all that keeps the weights in range. It may be too small for a row whose largest score is far above
    the sample, or too coarse for scores of many thousands.

    Returns:
        Whether ``out`` is right; if not, the tile is left to a softmax.
    """
    torch.baddbmm(scores, queries, keys.mT, beta=0, alpha=scale * math.log2(math.e), out=scores)
    sums = _row_sums(torch.exp2(scores, out=scores))
    least, largest = torch.aminmax(sums)
    if not 1 / LARGEST_SUM < least <= largest < LARGEST_SUM:  # nor is it where there is a nan
        return False
    torch.bmm(scores, values, out=out).div_(sums)
    return True


def _row_sums(weights: Tensor) -> Tensor:
    """(b, n, M) in bf16 → (b, n, 1) in fp32, by products with ones. Each is rounded to bf16, hence several a row."""
    *outer, columns = weights.shape
    pieces = math.gcd(columns, PIECES)
    ones = weights.new_ones(columns // pieces)
    return (weights.view(-1, columns // pieces) @ ones).view(*outer, pieces).sum(-1, keepdim=True, dtype=torch.float32)


def _tile_shape(batch: int, heads: int, rows: int, row_bytes: int) -> tuple[int, int, int]:
    """How many clips, heads and rows make a tile: whole clips, else whole heads of one clip, else rows of one head."""
    most = max(1, TILE_BYTES // row_bytes)  # rows of scores, of any head
    if most >= heads * rows:
        return min(batch, most // (heads * rows)), heads, rows
    if most >= rows:
        return 1, most // rows, rows
    number = -(-rows // most)
    return 1, 1, min(rows, -(-rows // number // ROW_MULTIPLE) * ROW_MULTIPLE)


def _tiles(shape: tuple[int, int, int], tile: tuple[int, int, int]) -> Iterator[tuple[slice, slice, slice]]:
    """The tiles of a shape, those at the ends smaller."""
    for clip in range(0, shape[0], tile[0]):
        for head in range(0, shape[1], tile[1]):
            for row in range(0, shape[2], tile[2]):
                starts = (clip, head, row)
                spans = [slice(at, min(at + by, end)) for at, by, end in zip(starts, tile, shape, strict=True)]
                yield spans[0], spans[1], spans[2]


def tiling(model: Any) -> Tiling | None:
    """That of a model of transformers; ``None`` where it does not use torch's attention."""
    if model.config._attn_implementation != "sdpa":
        return None

    def switch() -> None:
        from transformers import AttentionInterface

        AttentionInterface.register(_IN_TRANSFORMERS, _tiled_in_transformers)
        model.set_attn_implementation(_IN_TRANSFORMERS)

    return Tiling(switch=switch, pays_in_fp32=False)


def _tiled_in_transformers(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' interface (its ``AttentionInterface``); whatever tiles don't do is left to torch's attention.

    Returns:
        (B, N, H, D), and nothing in place of the scores.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = attention_mask is None and not dropout and not causal and query.shape[:2] == key.shape[:2]
    if not plain or any(other is not None and other is not False for other in others.values()):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **others
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return tiled_attention(query, key, value, scale=scale).transpose(1, 2).contiguous(), None
