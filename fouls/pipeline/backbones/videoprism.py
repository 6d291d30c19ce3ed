"""VideoPrism's video encoder through transformers.

Zhao et al., "VideoPrism: A Foundational Visual Encoder for Video Understanding", ICML 2024. Frames are stretched to
a square and lie in [0, 1]; the tokens keep every frame.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError
from fouls.pipeline.backbones.backbone import Net
from fouls.pipeline.backbones.families import Family, load_family
from fouls.pipeline.backbones.hub import Heads
from fouls.pipeline.backbones.pooling import mean_pool, temporal_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest


def _size(dim: int, layers: int, heads: int, num_frames: int) -> dict[str, int]:
    return {
        "hidden_size": dim,
        "num_spatial_layers": layers,
        "num_temporal_layers": 4,
        "num_attention_heads": heads,
        "intermediate_size": 4 * dim,
        "num_frames": num_frames,
    }


FAMILY = Family(
    name="videoprism",
    model_type="videoprism_vision_model",
    model_class="VideoPrismVisionModel",
    config_class="VideoPrismVisionConfig",
    sizes={"videoprism_b": _size(768, 12, 12, num_frames=16), "videoprism_l": _size(1024, 24, 16, num_frames=8)},
    heads=Heads(optional=(), ignored=("auxiliary_layers.", "head.", "head_layernorm.", "classifier.")),
    default_preprocessing=lambda config: PreprocessingSpec(
        resize="stretch",
        resize_to=config.image_size,
        crop=config.image_size,
        interpolation="bicubic",
        antialias=True,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    input_size="image_size",
    depth="num_spatial_layers",
)


def build(request: BuildRequest) -> Net:
    """Build VideoPrism from a hub id, a folder or file in the hub's format, or with made-up weights.

    Raises:
        BackboneError: another number of frames than the checkpoint's: its position embeddings are for that number.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    loaded = load_family(request, FAMILY)
    model: Any = loaded.model
    config = model.config
    if request.num_frames not in (None, config.num_frames):
        raise BackboneError(f"{request.name} takes {config.num_frames} frames a clip, not {request.num_frames}")
    dim = config.hidden_size
    depth, height, width = config.tubelet_size
    num_steps = config.num_frames // depth
    num_tokens = num_steps * (config.image_size // height) * (config.image_size // width)
    return Net(
        name=loaded.name,
        num_frames=config.num_frames,
        preprocessing=loaded.preprocessing,
        module=model,
        tokens=lambda x: _tokens(model, x),
        pools={
            "mean": mean_pool(dim),
            "temporal": temporal_pool(num_steps, dim),
            "tokens": token_pool(num_tokens, dim, num_steps),
        },
        notes=loaded.notes,
    )


def _tokens(model: Any, x: Tensor) -> Tensor:
    """(B, 3, T, S, S) → (B, T·H'·W', D)."""
    tokens: Tensor = model(pixel_values_videos=x.transpose(1, 2)).last_hidden_state
    return tokens
