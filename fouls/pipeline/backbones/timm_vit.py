"""ViT checkpoints as timm publishes them, under the names of transformers' ``ViTModel``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import WeightsError
from fouls.pipeline.backbones.hub import checkpoint_folder, read_json
from fouls.pipeline.backbones.tensors import read_tensors
from fouls.pipeline.backbones.weights import WeightsSource

LAYER_NORM_EPS = 1e-6
CROP_PCT = 0.9
"""Of the AugReg checkpoints, with a bicubic resize and mean and std of a half."""

_LAYER = "encoder.layer"
_RULES = [
    (r"cls_token", "embeddings.cls_token"),
    (r"pos_embed", "embeddings.position_embeddings"),
    (r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
    (r"norm\.(.*)", r"layernorm.\1"),
    (r"head\.(.*)", r"classifier.\1"),
    (r"blocks\.(\d+)\.norm1\.(.*)", rf"{_LAYER}.\1.layernorm_before.\2"),
    (r"blocks\.(\d+)\.norm2\.(.*)", rf"{_LAYER}.\1.layernorm_after.\2"),
    (r"blocks\.(\d+)\.attn\.qkv\.(.*)", rf"{_LAYER}.\1.attention.attention.qkv.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(.*)", rf"{_LAYER}.\1.attention.output.dense.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(.*)", rf"{_LAYER}.\1.intermediate.dense.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(.*)", rf"{_LAYER}.\1.output.dense.\2"),
]
"""A key that none of them knows stays as it is, and is then refused as left over."""


def find_timm(source: WeightsSource) -> tuple[dict[str, Tensor], dict[str, Any] | None] | None:
    """A checkpoint's state dict and its ``config.json`` (``None``: has none), if it is in timm's format.

    Raises:
        WeightsError: the weights can't be had or can't be read.
    """
    if source.kind == "random":
        return None
    if source.kind == "file":
        state = read_tensors(source)
        return (state, _timm_config(source.path.parent, source)) if "patch_embed.proj.weight" in state else None
    folder = checkpoint_folder(source)
    config = _timm_config(folder, source)
    if config is None:
        return None
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    file = next((path for path in files if path.exists()), None)
    if file is None:
        raise WeightsError(f"weights {source.text!r}: {folder} has none of {', '.join(path.name for path in files)}")
    return read_tensors(WeightsSource(kind="file", text=str(file))), config


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names that ViT's checkpoints have on the hub."""
    converted: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = next((re.sub(p, r, key) for p, r in _RULES if re.fullmatch(p, key)), key)
        if ".attention.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[name.replace("qkv", part)] = piece.contiguous()
        else:
            converted[name] = tensor
    return converted


def config_values(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What converted weights tell of their ``ViTConfig``."""
    dim, _, patch, _ = state["embeddings.patch_embeddings.projection.weight"].shape
    positions = state["embeddings.position_embeddings"].shape[1] - 1  # but the class token's
    return {
        "hidden_size": dim,
        "num_hidden_layers": len({key.split(".")[2] for key in state if key.startswith(f"{_LAYER}.")}),
        "num_attention_heads": max(1, dim // (80 if dim == 1280 else 64)),  # the weights do not tell
        "intermediate_size": len(state[f"{_LAYER}.0.intermediate.dense.bias"]),
        "patch_size": patch,
        "image_size": math.isqrt(positions) * patch,
        "qkv_bias": f"{_LAYER}.0.attention.attention.query.bias" in state,
        "layer_norm_eps": LAYER_NORM_EPS,
    }


def timm_preprocessing(config: Mapping[str, Any], image_size: int) -> PreprocessingSpec:
    """What timm's ``config.json`` says of the input; what it leaves out is as for AugReg.

    Raises:
        TypeError, ValueError, ConfigError: it asks for what can't be done.
    """
    wanted = config.get("pretrained_cfg", {})
    for name, allowed in (("crop_mode", ["center"]), ("interpolation", ["bicubic", "bilinear"])):
        if wanted.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{name} is {wanted[name]!r}; allowed: {', '.join(allowed)}")
    return PreprocessingSpec(
        resize_to=math.floor(image_size / wanted.get("crop_pct", CROP_PCT)),
        crop=image_size,
        crop_rounding="even",
        interpolation=wanted.get("interpolation", "bicubic"),
        antialias=True,
        mean=tuple(wanted.get("mean", (0.5, 0.5, 0.5))),
        std=tuple(wanted.get("std", (0.5, 0.5, 0.5))),
    )


def is_augreg(config: Mapping[str, Any] | None) -> bool:
    """Whether a checkpoint in timm's format is called AugReg, or nothing at all."""
    tag = "augreg" if config is None else config.get("pretrained_cfg", {}).get("tag") or ""
    return str(tag).startswith("augreg")


def _timm_config(folder: Path, source: WeightsSource) -> dict[str, Any] | None:
    path = folder / "config.json"
    plain = read_json(path, source) if path.exists() else {}
    return plain if "architecture" in plain and "model_type" not in plain else None
