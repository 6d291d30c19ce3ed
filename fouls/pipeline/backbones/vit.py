"""ViT of images through transformers, frame by frame: AugReg's ViT-B/16, as timm publishes it, and any other.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; Steiner et al., "How to train your ViT? Data,
Augmentation, and Regularization in Vision Transformers", TMLR 2022 (AugReg). What is called ``augreg`` is in timm's
format; ViT's checkpoints in the hub's format (``google/vit-base-patch16-224``) are of the first paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from fouls.errors import WeightsError
from fouls.pipeline.backbones.backbone import Net
from fouls.pipeline.backbones.families import (
    Family,
    Loaded,
    check_size,
    load_family,
    load_model,
    resolved_name,
    transformers_class,
)
from fouls.pipeline.backbones.frames import frame_net
from fouls.pipeline.backbones.hub import Heads
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import reading
from fouls.pipeline.backbones.timm_vit import config_values, convert, find_timm, is_augreg, timm_preprocessing

AUGREG = "vit_b_augreg"
PLAIN = "vit_b_16"
FAMILY = Family(
    name="vit",
    model_type="vit",
    model_class="ViTModel",
    config_class="ViTConfig",
    sizes={
        AUGREG: {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "patch_size": 16,
            "image_size": 224,
        }
    },
    heads=Heads(optional=("pooler",), ignored=("classifier.",)),
    default_preprocessing=lambda config: timm_preprocessing({}, config.image_size),
    input_size="image_size",
    shared={"layer_norm_eps": 1e-6},
)


def build(request: BuildRequest) -> Net:
    """Build a ViT from a hub id, a folder or a file, of timm's or the hub's format, or with made-up weights.

    Raises:
        BackboneError: less than one frame.
        WeightsError: the weights can't be had, can't be read, don't fit, or are no AugReg where that was asked for.
    """
    timm = find_timm(request.source)
    loaded = _load_hub(request) if timm is None else _load_timm(request, *timm)
    loaded.model.pooler = None  # of the class token; no part of the features
    return frame_net(request, loaded)


def _load_hub(request: BuildRequest) -> Loaded:
    loaded = load_family(request, FAMILY)
    if request.source.kind == "random" or loaded.name != AUGREG:
        return loaded
    return _called(request, loaded, PLAIN)


def _load_timm(request: BuildRequest, original: Mapping[str, Tensor], timm: Mapping[str, Any] | None) -> Loaded:
    source = request.source
    with reading(source):
        state = convert(original)
        config = transformers_class(FAMILY.config_class)(**config_values(state))
        preprocessing = timm_preprocessing(timm or {}, config.image_size)
    check_size(request, FAMILY, config)
    name = resolved_name(FAMILY, config)
    loaded = Loaded(name=name, model=load_model(FAMILY, source, state, config), preprocessing=preprocessing, notes=())
    return loaded if name != AUGREG or is_augreg(timm) else _called(request, loaded, PLAIN)


def _called(request: BuildRequest, loaded: Loaded, name: str) -> Loaded:
    """A net of AugReg's shape that is not AugReg, if any net was asked for."""
    if request.entry.alias_of is None:
        raise WeightsError(
            f"weights {request.source.text!r} are {name}, not {request.name}, which is AugReg's as timm publishes it"
            f" ({request.entry.weights}); --backbone {FAMILY.name} takes any ViT"
        )
    return replace(loaded, name=name)
