"""The made-up weights and inputs behind the reference outputs: a rule from names and shapes, and nothing else."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def reference_state(keys: Path | dict[str, list[int]]) -> dict[str, Tensor]:
    """The state dict for the names and shapes in a ``*_keys.json``."""
    shapes = json.loads(keys.read_text()) if isinstance(keys, Path) else keys
    return {key: torch.from_numpy(_tensor(key, shape)) for key, shape in shapes.items()}


def reference_input(*shape: int) -> Tensor:
    """The input of the reference: (B, 3, T, S, S), fp32 in [−1, 1)."""
    return torch.from_numpy((np.random.RandomState(7).random_sample(shape) * 2 - 1).astype(np.float32))


def _tensor(key: str, shape: list[int]) -> np.ndarray:
    noise = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF).standard_normal(shape)
    if len(shape) >= 2 and not any(part in key for part in ("rel_pos", "pos_embed", "cls_token")):
        values = noise / math.sqrt(math.prod(shape[1:]))
    elif "norm" in key and key.endswith("weight"):
        values = 1 + 0.2 * noise
    else:
        values = 0.2 * noise
    return values.astype(np.float32)
