"""VideoMAE through transformers.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022. The features are those of ``VideoMAEModel``: ``mean`` is the mean of ``last_hidden_state`` over tokens,
before the ``fc_norm`` of a fine-tuned checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.attention import tiling
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.families import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Family,
    Loaded,
    check_size,
    class_names,
    describe,
    load_family,
    load_model,
    read_config,
    transformers_class,
)
from fouls.pipeline.backbones.hub import Heads
from fouls.pipeline.backbones.pooling import mean, mean_pool, temporal_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import check_shapes, read_tensors, reading
from fouls.pipeline.backbones.videomae_original import LAYER_NORM_EPS, config_values, convert, is_original
from fouls.pipeline.backbones.weights import WeightsSource


def default_preprocessing(size: int) -> PreprocessingSpec:
    """What the hub's ``preprocessor_config.json`` of every published checkpoint says (not the class's defaults)."""
    return PreprocessingSpec(resize_to=size, crop=size, antialias=True, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _size(dim: int, layers: int, heads: int, mlp: int, patch: int = 16) -> dict[str, int]:
    return {
        "hidden_size": dim,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": mlp,
        "patch_size": patch,
        "tubelet_size": 2,
    }


FAMILY = Family(
    name="videomae",
    model_type="videomae",
    model_class="VideoMAEForVideoClassification",
    config_class="VideoMAEConfig",
    sizes={
        "videomae_small": _size(384, 12, 6, 1536),
        "videomae_base": _size(768, 12, 12, 3072),
        "videomae_large": _size(1024, 24, 16, 4096),
        "videomae_huge": _size(1280, 32, 16, 5120),
        "videomae_giant": _size(1408, 40, 16, 6144, patch=14),
    },
    heads=Heads(optional=("fc_norm", "classifier"), ignored=("decoder.", "encoder_to_decoder.", "mask_token")),
    default_preprocessing=lambda config: default_preprocessing(config.image_size),
    input_size="image_size",
    shared={"num_labels": 400},
)


def build(request: BuildRequest) -> Net:
    """Build VideoMAE from a hub id, a folder, a file (of the hub's format or another), or with made-up weights.

    The checkpoint's own config decides its shape; only a name with a size asks for that size.

    Raises:
        BackboneError: another number of frames than the checkpoint's.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    state = read_tensors(request.source) if request.source.kind == "file" else None
    if state is not None and is_original(state):
        return _net(request, _load_original(request, convert(state)))
    return _net(request, load_family(request, FAMILY, state))


def _load_original(request: BuildRequest, state: dict[str, Tensor]) -> Loaded:
    """A converted file; what ``config.json`` beside it says goes before what can be inferred."""
    source, folder = request.source, request.source.path.parent
    positions = state.pop("pos_embed", None)
    if (folder / "config.json").exists():
        config = read_config(request, FAMILY, folder)
    else:
        with reading(source):
            config = transformers_class(FAMILY.config_class)(**config_values(state))
        check_size(request, FAMILY, config)
    config.layer_norm_eps = LAYER_NORM_EPS
    model = load_model(FAMILY, source, state, config)
    if model.fc_norm is not None:
        model.fc_norm.eps = LAYER_NORM_EPS
    if positions is not None:
        _check_positions(source, positions, model.videomae.embeddings.position_embeddings)
    return describe(request, FAMILY, model, folder=folder)


def _check_positions(source: WeightsSource, positions: Tensor, table: Tensor) -> None:
    """The net makes the sine-cosine table itself; positions that were learned would be lost."""
    check_shapes(source, {"pos_embed": (positions.shape, table.shape)})
    if not torch.allclose(positions, table, atol=1e-3):
        raise WeightsError(f"weights {source.text!r} have learned positions; VideoMAE has the sine-cosine table")


def _net(request: BuildRequest, loaded: Loaded) -> Net:
    model, num_frames = loaded.model, loaded.model.config.num_frames
    if request.num_frames not in (None, num_frames):
        raise BackboneError(f"{request.name} takes {num_frames} frames a clip, not {request.num_frames}")
    return Net(
        name=loaded.name,
        num_frames=num_frames,
        preprocessing=loaded.preprocessing,
        module=model,
        tokens=_Forward(model.videomae),
        tiling=tiling(model),
        pools=_pools(model),
        heads=FAMILY.heads.optional,
        classes=class_names(model.config),
        notes=loaded.notes,
    )


class _Forward:
    """(B, 3, T, S, S) → tokens (B, N, D)."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        embeddings = self.model.embeddings
        embeddings.position_embeddings = embeddings.position_embeddings.to(x)  # no buffer: .to() of the net forgets it
        tokens: Tensor = self.model(x.transpose(1, 2)).last_hidden_state
        return tokens


def _pools(model: Any) -> dict[str, Pool]:
    config = model.config
    dim, num_steps = config.hidden_size, config.num_frames // config.tubelet_size
    num_tokens = num_steps * (config.image_size // config.patch_size) ** 2
    pools = {"mean": mean_pool(dim)}
    if model.fc_norm is not None:
        pools["fc_norm"] = Pool(shape=(dim,), compute=lambda tokens: model.fc_norm(mean(tokens)))
    pools["temporal"] = temporal_pool(num_steps, dim)
    pools["tokens"] = token_pool(num_tokens, dim, num_steps)
    if model.classifier is not None and (model.fc_norm is not None or not config.use_mean_pooling):
        pools["logits"] = Pool(shape=(config.num_labels,), compute=lambda tokens: _logits(model, tokens))
    return pools


def _logits(model: Any, tokens: Tensor) -> Tensor:
    pooled = tokens[:, 0] if model.fc_norm is None else model.fc_norm(mean(tokens))
    logits: Tensor = model.classifier(pooled)
    return logits
