"""SlowFast's checkpoints of MViT under the names of torchvision's ``MViT``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RULES = [
    (r"^patch_embed\.proj\.", "conv_proj."),
    (r"^cls_token$", "pos_encoding.class_token"),
    (r"^pos_embed_(spatial|temporal|class)$", r"pos_encoding.\1_pos"),
    (r"\.attn\.pool_([qkv])\.weight$", r".attn.pool_\1.pool.weight"),
    (r"\.attn\.norm_([qkv])\.", r".attn.pool_\1.norm_act.0."),
    (r"\.attn\.proj\.", ".attn.project.0."),
    (r"^(blocks\.\d+)\.proj\.", r"\1.project."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^head\.projection\.", "head.1."),
]


def from_slowfast(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of SlowFast; one of torchvision is returned as it is."""
    if "patch_embed.proj.weight" not in state:
        return dict(state)
    converted = {}
    for key, tensor in state.items():
        name = key
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        if name.startswith("pos_encoding."):  # (1, N, D) there; here (N, D), and (D,) for the class token
            tensor = tensor.flatten() if "class" in name else tensor.flatten(0, 1)
        converted[name] = tensor
    return converted
