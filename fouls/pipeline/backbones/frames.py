"""Nets of single images: the frames of a clip go through one by one, each a feature; time is kept or averaged."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fouls.pipeline.backbones.attention import tiling
from fouls.pipeline.backbones.backbone import Net
from fouls.pipeline.backbones.families import Loaded
from fouls.pipeline.backbones.pooling import mean_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest


def frame_net(request: BuildRequest, loaded: Loaded) -> Net:
    """A net for clips of a transformer for images; a frame's feature is its class token after the final norm.

    Raises:
        BackboneError: less than one frame.
    """
    model = loaded.model
    num_frames = request.any_num_frames()
    dim = model.config.hidden_size
    return Net(
        name=loaded.name,
        num_frames=num_frames,
        preprocessing=loaded.preprocessing,
        module=model,
        tokens=lambda x: _class_tokens(model, x),
        tiling=tiling(model),
        pools={"mean": mean_pool(dim), "temporal": token_pool(num_frames, dim)},
        notes=loaded.notes,
    )


def _class_tokens(model: Any, x: Tensor) -> Tensor:
    """(B, 3, T, S, S) → (B, T, D)."""
    images = x.transpose(1, 2).flatten(0, 1)  # (B·T, 3, S, S)
    tokens: Tensor = model(pixel_values=images).last_hidden_state  # (B·T, 1 + N, D)
    return tokens[:, 0].reshape(len(x), -1, tokens.shape[-1])
