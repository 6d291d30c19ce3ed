"""V-JEPA 2 through transformers: the encoder, without the predictor.

Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning", 2025. Positions
are rotary: it takes any number of frames that its tubelets divide, and was trained with 16 to 64.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError
from fouls.pipeline.backbones.attention import tiling
from fouls.pipeline.backbones.backbone import Net
from fouls.pipeline.backbones.families import IMAGENET_MEAN, IMAGENET_STD, Family, load_family
from fouls.pipeline.backbones.hub import Heads
from fouls.pipeline.backbones.pooling import mean_pool, temporal_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest


def _size(dim: int, layers: int, heads: int, mlp_ratio: float = 4.0, crop: int = 256) -> dict[str, int | float]:
    return {
        "hidden_size": dim,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "mlp_ratio": mlp_ratio,
        "crop_size": crop,
    }


FAMILY = Family(
    name="vjepa2",
    model_type="vjepa2",
    model_class="VJEPA2Model",
    config_class="VJEPA2Config",
    sizes={
        "vjepa2_l": _size(1024, 24, 16),
        "vjepa2_h": _size(1280, 32, 16),
        "vjepa2_g": _size(1408, 40, 22, mlp_ratio=48 / 11),
        "vjepa2_g_384": _size(1408, 40, 22, mlp_ratio=48 / 11, crop=384),
    },
    heads=Heads(optional=("predictor",), ignored=("pooler.", "classifier.")),
    default_preprocessing=lambda config: PreprocessingSpec(
        resize_to=int(config.crop_size * 256 / 224),
        crop=config.crop_size,
        antialias=True,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ),
    input_size="crop_size",
)


def build(request: BuildRequest) -> Net:
    """Build V-JEPA 2 from a hub id, a folder or file in the hub's format, or with made-up weights.

    Raises:
        BackboneError: a number of frames that the tubelets don't divide.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    loaded = load_family(request, FAMILY)
    model: Any = loaded.model
    model.predictor = None  # of masked tokens; no part of the features
    config = model.config
    num_frames = config.frames_per_clip if request.num_frames is None else request.num_frames
    tubelet = config.tubelet_size
    if num_frames < 1 or num_frames % tubelet:
        raise BackboneError(f"{request.name} takes a multiple of {tubelet} frames a clip, not {num_frames}")
    dim, num_steps = config.hidden_size, num_frames // tubelet
    num_tokens = num_steps * (config.crop_size // config.patch_size) ** 2
    return Net(
        name=loaded.name,
        num_frames=num_frames,
        preprocessing=loaded.preprocessing,
        module=model,
        tokens=lambda x: _tokens(model, x),
        tiling=tiling(model),
        pools={
            "mean": mean_pool(dim),
            "temporal": temporal_pool(num_steps, dim),
            "tokens": token_pool(num_tokens, dim, num_steps),
        },
        notes=loaded.notes,
    )


def _tokens(model: Any, x: Tensor) -> Tensor:
    """(B, 3, T, S, S) → (B, T'·H'·W', D): ``VJEPA2Model`` with ``skip_predictor``, without its masking of nothing."""
    tokens: Tensor = model.encoder(pixel_values_videos=x.transpose(1, 2)).last_hidden_state
    return tokens
