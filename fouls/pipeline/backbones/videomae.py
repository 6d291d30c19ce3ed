"""VideoMAE through transformers.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022. The features are those of ``VideoMAEModel``: ``mean`` is the mean of ``last_hidden_state`` over tokens,
before the ``fc_norm`` of a fine-tuned checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.hub import (
    Heads,
    checkpoint_folder,
    load_pretrained,
    read_json,
    read_preprocessing,
)
from fouls.pipeline.backbones.pooling import mean, mean_pool, temporal_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import check_shapes, read_tensors, reading
from fouls.pipeline.backbones.videomae_original import LAYER_NORM_EPS, config_values, convert, is_original
from fouls.pipeline.backbones.weights import WeightsSource, seeded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HEADS = Heads(optional=("fc_norm", "classifier"), ignored=("decoder.", "encoder_to_decoder.", "mask_token"))


@dataclass(frozen=True, kw_only=True)
class Size:
    """What tells the published sizes apart, by the names of ``VideoMAEConfig``."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    patch_size: int = 16
    tubelet_size: int = 2


SIZES = {
    "videomae_small": Size(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536),
    "videomae_base": Size(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072),
    "videomae_large": Size(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "videomae_huge": Size(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, intermediate_size=5120),
    "videomae_giant": Size(
        hidden_size=1408, num_hidden_layers=40, num_attention_heads=16, intermediate_size=6144, patch_size=14
    ),
}


def build(request: BuildRequest) -> Net:
    """Build VideoMAE from a hub id, a folder, a file (of the hub's format or another), or with made-up weights.

    The checkpoint's own config decides its shape; only a name with a size asks for that size.

    Raises:
        BackboneError: another number of frames than the checkpoint's.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    source = request.source
    if source.kind == "random":
        config = _config(SIZES[request.entry.alias_of or request.name])
        with seeded(source.seed):
            return _net(request, _classifier_class()(config), preprocessing=None)
    if source.kind == "file":
        return _from_file(request)
    folder = checkpoint_folder(source)
    config = _read_config(request, folder)
    model = load_pretrained(_classifier_class(), source, folder, config, HEADS)
    return _net(request, model, preprocessing=read_preprocessing(folder, source))


def _from_file(request: BuildRequest) -> Net:
    """A file in the hub's format or another; what ``config.json`` beside it says goes before what can be inferred."""
    source = request.source
    folder, state = source.path.parent, read_tensors(source)
    original = is_original(state)
    has_config = (folder / "config.json").exists()
    positions = None
    if original:
        state = convert(state)
        positions = state.pop("pos_embed", None)
    if has_config or not original:
        config = _read_config(request, folder)
    else:
        with reading(source):
            config = _config_class()(**config_values(state))
        _check_size(request, config)
    if original:
        config.layer_norm_eps = LAYER_NORM_EPS
    model: Any = load_pretrained(_classifier_class(), source, state, config, HEADS)
    if original and model.fc_norm is not None:
        model.fc_norm.eps = LAYER_NORM_EPS
    if positions is not None:
        _check_positions(source, positions, model.videomae.embeddings.position_embeddings)
    return _net(request, model, preprocessing=read_preprocessing(folder, source))


def default_preprocessing(size: int) -> PreprocessingSpec:
    """What the hub's ``preprocessor_config.json`` of every published checkpoint says (not the class's defaults)."""
    return PreprocessingSpec(resize_to=size, crop=size, antialias=True, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def resolved_name(config: Any) -> str:
    """``videomae_base`` for what is VideoMAE-B, and so on; ``videomae_d96_l4`` for a net of no published size."""
    for name, size in SIZES.items():
        if all(getattr(config, field) == value for field, value in asdict(size).items()):
            return name
    return f"videomae_d{config.hidden_size}_l{config.num_hidden_layers}"


def _classifier_class() -> Any:
    from transformers import VideoMAEForVideoClassification

    return VideoMAEForVideoClassification


def _config_class() -> Any:
    from transformers import VideoMAEConfig

    return VideoMAEConfig


def _config(size: Size) -> Any:
    return _config_class()(**asdict(size), num_labels=400)


def _read_config(request: BuildRequest, folder: Path) -> Any:
    """The checkpoint's config, or for a file without one that of the size that was asked for."""
    source, path = request.source, folder / "config.json"
    if source.kind == "file" and not path.exists():
        return _config(SIZES[request.entry.alias_of or request.name])
    model_type = read_json(path, source).get("model_type")
    if model_type != "videomae":
        raise WeightsError(f"weights {source.text!r} are of a {model_type!r} model; {request.name} needs 'videomae'")
    with reading(source):
        config = _config_class().from_pretrained(folder, local_files_only=True)
    _check_size(request, config)
    if not isinstance(config.image_size, int) or not isinstance(config.patch_size, int):
        raise WeightsError(f"weights {source.text!r}: image and patch must be square, one number each")
    return config


def _check_size(request: BuildRequest, config: Any) -> None:
    if request.entry.alias_of is None and resolved_name(config) != request.name:
        raise WeightsError(
            f"weights {request.source.text!r} are {resolved_name(config)}, not {request.name};"
            " --backbone videomae takes any size"
        )


def _check_positions(source: WeightsSource, positions: Tensor, table: Tensor) -> None:
    """The net makes the sine-cosine table itself; positions that were learned would be lost."""
    check_shapes(source, {"pos_embed": (positions.shape, table.shape)})
    if not torch.allclose(positions, table, atol=1e-3):
        raise WeightsError(f"weights {source.text!r} have learned positions; VideoMAE has the sine-cosine table")


def _net(request: BuildRequest, model: nn.Module, preprocessing: PreprocessingSpec | None) -> Net:
    config: Any = model.config
    if request.num_frames not in (None, config.num_frames):
        raise BackboneError(f"{request.name} takes {config.num_frames} frames a clip, not {request.num_frames}")
    notes = []
    if preprocessing is None:
        preprocessing = default_preprocessing(config.image_size)
        if request.source.kind != "random":
            notes.append(
                f"{request.source.text} has no preprocessor_config.json: frames are prepared as for the published"
                f" checkpoints (short side {config.image_size}, mean and std of ImageNet)"
            )
    if preprocessing.crop != config.image_size:
        raise WeightsError(
            f"weights {request.source.text!r}: preprocessor_config.json crops to {preprocessing.crop} pixels,"
            f" the net takes {config.image_size}"
        )
    return Net(
        name=resolved_name(config),
        num_frames=config.num_frames,
        preprocessing=preprocessing,
        module=model,
        tokens=_Forward(model.videomae),
        pools=_pools(model),
        heads=HEADS.optional,
        notes=tuple(notes),
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
    pools["tokens"] = token_pool(num_tokens, dim)
    if model.classifier is not None and (model.fc_norm is not None or not config.use_mean_pooling):
        pools["logits"] = Pool(shape=(config.num_labels,), compute=lambda tokens: _logits(model, tokens))
    return pools


def _logits(model: Any, tokens: Tensor) -> Tensor:
    pooled = tokens[:, 0] if model.fc_norm is None else model.fc_norm(mean(tokens))
    logits: Tensor = model.classifier(pooled)
    return logits
