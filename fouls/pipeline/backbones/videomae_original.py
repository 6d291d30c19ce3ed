"""VideoMAE checkpoints that are not in the hub's format, recognised by their keys.

MCG-NJU's own files, InternVideo's and VideoMAEv2's have the names of the original code (``blocks.0.attn.qkv.weight``),
possibly below ``backbone.`` or ``encoder.``; mmaction2's have its own names for the patch embedding, the MLP and the
classifier. All of them use 1e-6 in their norms, ``fc_norm`` too, where transformers has 1e-12 and 1e-5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

LAYER_NORM_EPS = 1e-6
_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}
"""Width → attention heads of the published nets; the weights do not tell."""

_LAYER = "videomae.encoder.layer"
_RULES = [
    (r"(?:(?:module|backbone|encoder)\.)+(.*)", r"\1"),
    (r"cls_head\.fc_cls\.(.*)", r"classifier.\1"),
    (r"head\.(.*)", r"classifier.\1"),
    (r"norm\.(.*)", r"videomae.layernorm.\1"),
    (r"patch_embed\.(?:proj|projection)\.(.*)", r"videomae.embeddings.patch_embeddings.projection.\1"),
    (r"blocks\.(\d+)\.norm1\.(.*)", rf"{_LAYER}.\1.layernorm_before.\2"),
    (r"blocks\.(\d+)\.norm2\.(.*)", rf"{_LAYER}.\1.layernorm_after.\2"),
    (r"blocks\.(\d+)\.attn\.q_bias", rf"{_LAYER}.\1.attention.attention.query.bias"),
    (r"blocks\.(\d+)\.attn\.v_bias", rf"{_LAYER}.\1.attention.attention.value.bias"),
    (r"blocks\.(\d+)\.attn\.qkv\.weight", rf"{_LAYER}.\1.attention.attention.qkv.weight"),
    (r"blocks\.(\d+)\.attn\.proj\.(.*)", rf"{_LAYER}.\1.attention.output.dense.\2"),
    (r"blocks\.(\d+)\.mlp\.(?:fc1|layers\.0\.0)\.(.*)", rf"{_LAYER}.\1.intermediate.dense.\2"),
    (r"blocks\.(\d+)\.mlp\.(?:fc2|layers\.1)\.(.*)", rf"{_LAYER}.\1.output.dense.\2"),
]
"""Applied one after the other; a key that none of them knows stays as it is, and is then refused as left over."""


def is_original(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys are those of the original code or of mmaction2."""
    return any(re.search(r"(^|\.)patch_embed\.(proj|projection)\.weight$", key) for key in state)


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of transformers' ``VideoMAEForVideoClassification``.

    ``pos_embed``, where there is one, stays as it is: transformers' net has no place for it.
    """
    converted: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key
        for pattern, replacement in _RULES:
            name = re.sub(rf"^{pattern}$", replacement, name)
        if name.endswith("attention.qkv.weight"):
            for part, weight in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[name.replace("qkv", part)] = weight.contiguous()
        else:
            converted[name] = tensor
    return converted


def config_values(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What converted weights tell of their ``VideoMAEConfig``; frames and image size are the published ones."""
    dim, _, tubelet, patch, _ = state["videomae.embeddings.patch_embeddings.projection.weight"].shape
    layers = {key.split(".")[3] for key in state if key.startswith(f"{_LAYER}.")}
    mlp = state.get(f"{_LAYER}.0.intermediate.dense.bias")
    head = state.get("classifier.bias")
    return {
        "hidden_size": dim,
        "num_hidden_layers": len(layers),
        "num_attention_heads": _HEADS.get(dim, max(1, dim // 64)),
        "intermediate_size": 4 * dim if mlp is None else len(mlp),
        "patch_size": patch,
        "tubelet_size": tubelet,
        "qv_bias": f"{_LAYER}.0.attention.attention.query.bias" in state,
        "use_mean_pooling": "videomae.layernorm.weight" not in state,
        "num_labels": 2 if head is None else len(head),
    }
