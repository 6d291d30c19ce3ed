"""Any video classifier of transformers: ``hf:ORG/NAME``, ``hf:FOLDER``.

Nothing of the family is known here. The checkpoint's config names the class, its processor prepares the frames, a
pass of a net without weights tells the shapes; what the checkpoint leaves open is an error.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fouls.errors import BackboneError, WeightsError, WeightsUnavailableError
from fouls.pipeline.backbones.attention import tiling
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.families import class_names, transformers_class
from fouls.pipeline.backbones.hub import Heads, checkpoint_folder, load_pretrained, read_json
from fouls.pipeline.backbones.pooling import mean, mean_pool, token_pool
from fouls.pipeline.backbones.processors import read_preprocessing
from fouls.pipeline.backbones.registry import HF_PREFIX, BuildRequest
from fouls.pipeline.backbones.tensors import reading
from fouls.pipeline.backbones.weights import WeightsSource, one_line, parse_weights, seeded


def build(request: BuildRequest) -> Net:
    """Build a video classifier from a hub id or a folder in the hub's format, or with made-up weights of that shape.

    Raises:
        BackboneError: transformers has no such classifier, it does not say how many frames it takes or how they are
            prepared, another number is asked for, or it gives no tokens.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    checkpoint = _checkpoint(request)
    folder = _folder(request, checkpoint)
    model_class, config = _class_and_config(folder, checkpoint)
    preprocessing = read_preprocessing(folder, checkpoint)
    if preprocessing is None:
        raise BackboneError(f"{request.name} has no preprocessor_config.json: it has to say how frames are prepared")
    num_frames = _num_frames(request, config)
    _check_crop(request, config, preprocessing.crop)
    with torch.device("meta"):
        blank = model_class(config)
    num_tokens, dim = _token_shape(request, blank, (1, 3, num_frames, preprocessing.crop, preprocessing.crop))
    heads = tuple(name for name, _ in blank.named_children() if name != model_class.base_model_prefix)
    if request.source.kind == "random":
        with seeded(request.source.seed):
            model = model_class(config)
    else:
        model = load_pretrained(model_class, checkpoint, folder, config, Heads(optional=heads))
    return Net(
        name=_name(config, dim),
        num_frames=num_frames,
        preprocessing=preprocessing,
        module=model,
        tokens=lambda x: _tokens(model, x),
        tiling=tiling(model),
        pools=_pools(model, heads, num_tokens, dim),
        heads=heads,
        classes=class_names(config),
    )


def _checkpoint(request: BuildRequest) -> WeightsSource:
    """What stands behind ``hf:``, or a copy of it that is given as ``--weights``; made-up weights take its shape."""
    source = request.source
    named = request.name.removeprefix(HF_PREFIX)
    checkpoint = parse_weights(named) if source.kind == "random" or source.text == named else source
    if checkpoint.kind not in ("folder", "name"):
        raise WeightsError(
            f"weights {checkpoint.text!r} of {request.name}: give a folder in the hub's format, or a hub id"
        )
    return checkpoint


def _folder(request: BuildRequest, checkpoint: WeightsSource) -> Path:
    try:
        return checkpoint_folder(checkpoint)
    except WeightsUnavailableError as error:
        if request.source.kind != "random":
            raise
        raise WeightsUnavailableError(
            f"{request.name} can't be had, and only its config.json tells the shape that made-up weights need:"
            " type hf:FOLDER of a copy"
        ) from error


def _class_and_config(folder: Path, source: WeightsSource) -> tuple[Any, Any]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    model_type = read_json(folder / "config.json", source).get("model_type")
    if model_type not in CLASSIFIERS:
        raise BackboneError(
            f"{source.text!r} is a {model_type!r} model, of which this version of transformers has no video"
            f" classifier; it has: {', '.join(CLASSIFIERS)}"
        )
    model_class = transformers_class(CLASSIFIERS[model_type])
    with reading(source):
        return model_class, model_class.config_class.from_pretrained(folder, local_files_only=True)


def _num_frames(request: BuildRequest, config: Any) -> int:
    """The checkpoint's own number: some nets run on any other, and mix up time and space."""
    own = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    if own is None:
        raise BackboneError(f"the config of {request.name} does not say how many frames a clip has")
    if request.num_frames not in (None, own):
        raise BackboneError(f"{request.name} takes {own} frames a clip, not {request.num_frames}")
    return int(own)


def _check_crop(request: BuildRequest, config: Any, crop: int) -> None:
    own = getattr(config, "image_size", None) or getattr(config, "crop_size", None)
    if own not in (None, crop, [crop, crop], (crop, crop)):
        raise WeightsError(f"{request.name}: its processor crops to {crop} pixels, the net takes {own}")


def _token_shape(request: BuildRequest, blank: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Number and width of the tokens, from a pass without weights.

    Raises:
        BackboneError: the net does not take that input, or gives no tokens.
    """
    try:
        tokens = _tokens(blank, torch.empty(shape, device="meta"))
    except Exception as error:
        frames, size = shape[2], shape[-1]
        raise BackboneError(
            f"{request.name} does not take {frames} frames of {size} × {size}: {one_line(error)}"
        ) from error
    if tokens.ndim != 3:
        raise BackboneError(f"{request.name} gives {tuple(tokens.shape)}, no tokens (batch, tokens, dimension)")
    return tokens.shape[1], tokens.shape[2]


def _name(config: Any, dim: int) -> str:
    layers = getattr(config, "num_hidden_layers", None)
    return f"{config.model_type}_d{dim}" + (f"_l{layers}" if layers else "")


@torch.no_grad()
def _tokens(model: Any, x: Tensor) -> Tensor:
    """(B, 3, T, S, S) → (B, N, D): the last hidden state of the classifier's trunk."""
    trunk = model.base_model
    options = {"skip_predictor": True} if "skip_predictor" in inspect.signature(trunk.forward).parameters else {}
    tokens: Tensor = trunk(**{model.main_input_name: x.transpose(1, 2)}, **options).last_hidden_state
    return tokens


def _pools(model: Any, heads: tuple[str, ...], num_tokens: int, dim: int) -> dict[str, Pool]:
    """What classifies stands first: the class token, or the mean of all."""
    pools: dict[str, Pool] = {}
    if any(name.endswith("cls_token") for name, _ in model.named_parameters()):
        pools["cls"] = Pool(shape=(dim,), compute=lambda tokens: tokens[:, 0])
        pools["mean"] = Pool(shape=(dim,), compute=lambda tokens: mean(tokens[:, 1:]))
    else:
        pools["mean"] = mean_pool(dim)
    pools["tokens"] = token_pool(num_tokens, dim)
    if all(getattr(model, name) is not None for name in heads):
        classify = _without_trunk(model)
        pools["logits"] = Pool(
            shape=(model.config.num_labels,), compute=lambda tokens: classify(tokens).logits.flatten(1)
        )
    return pools


def _without_trunk(model: Any) -> Any:
    """The classifier's own way from tokens to logits: the same model, with tokens put in for pixels."""
    rest = copy.copy(model)
    rest._modules = {**model._modules, model.base_model_prefix: _Through()}
    return rest


class _Through(nn.Module):
    """In the place of a trunk: what goes in is the last hidden state that comes out."""

    def forward(self, *inputs: Tensor, **named: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        first = next(value for value in (*inputs, *named.values()) if isinstance(value, Tensor))
        return BaseModelOutput(last_hidden_state=first)
