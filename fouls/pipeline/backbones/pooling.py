"""The pools that nets of tokens share. Tokens are (B, N, D) float32; time varies slowest along N."""

from __future__ import annotations

import math

from torch import Tensor

from fouls.pipeline.backbones.backbone import Pool


def mean_pool(dim: int) -> Pool:
    """The mean over all tokens: (D,)."""
    return Pool(shape=(dim,), compute=mean)


def temporal_pool(num_steps: int, dim: int) -> Pool:
    """The mean over space for each step in time: (T', D)."""
    return Pool(shape=(num_steps, dim), compute=lambda tokens: tokens.reshape(len(tokens), num_steps, -1, dim).mean(2))


def token_pool(num_tokens: int, dim: int, num_steps: int | None = None) -> Pool:
    """All tokens: (N, D); with T' known, those of a grid T' × side × side."""
    grid = None
    if num_steps is not None:
        side = math.isqrt(num_tokens // num_steps)
        grid = (num_steps, side, side)
    return Pool(shape=(num_tokens, dim), compute=lambda tokens: tokens, grid=grid)


def mean(tokens: Tensor) -> Tensor:
    """(B, N, D) → (B, D)."""
    return tokens.mean(1)
