"""From a name to a backbone that is ready to run."""

from __future__ import annotations

from typing import get_args

import torch

from fouls.cache.spec import Precision, WeightsSpec
from fouls.errors import BackboneError, ConfigError, ExecutorError, WeightsUnavailableError
from fouls.pipeline.backbones.attention import AttentionKind
from fouls.pipeline.backbones.backbone import Backbone, Net
from fouls.pipeline.backbones.registry import BackboneEntry, BuildRequest, find_entry, load_builder
from fouls.pipeline.backbones.tensors import is_torchvision_mismatch
from fouls.pipeline.backbones.weights import PretrainedSource, WeightsSource, parse_weights, weights_sha256


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    pretrained_source: PretrainedSource = "auto",
    num_frames: int | None = None,
    attention: AttentionKind | None = None,
    compile: bool = False,
) -> Backbone:
    """Load a backbone.

    Args:
        name: one of ``fouls backbones``.
        weights: a hub id, a folder, a file, one of torchvision's names, or ``random:SEED``; ``None`` takes the
            published ones.
        device: ``cpu``, ``cuda``, ``cuda:1``, …
        precision: of weights and activations in the forward pass.
        pretrained_source: which of the published weights, where there is a choice and ``weights`` is ``None``.
        num_frames: frames a clip, for a backbone that takes any number.
        attention: ``tiled`` or ``library``, which differ in speed and rounding; ``None`` takes the faster one.
        compile: whether the forward pass goes through ``torch.compile``, which takes its time at the first batch.

    Raises:
        BackboneError: no such backbone, or not with so many frames, or no weights of that source, or its attention
            can't be tiled.
        WeightsError: the weights can't be read or don't fit.
        WeightsUnavailableError: they can't be had.
        ConfigError: a precision that does not exist.
        ExecutorError: a device that does not exist.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision is {precision!r}; allowed: {', '.join(get_args(Precision))}")
    entry = find_entry(name)
    source = choose_weights(name, entry, weights, pretrained_source)
    place = check_device(device)
    net = _build(BuildRequest(name=name, entry=entry, source=source, num_frames=num_frames))
    identity = WeightsSpec(sha256=weights_sha256(net.module.state_dict()), random_seed=source.random_seed)
    return Backbone(net, weights=identity, device=place, precision=precision, attention=attention, compile=compile)


def load_blank(name: str, *, num_frames: int | None = None) -> Backbone:
    """A backbone with shapes and no values, on the meta device: nothing is downloaded, nothing computed.

    Only ``hf:`` needs the checkpoint's config.

    Args:
        name: one of ``fouls backbones``.
        num_frames: frames a clip, for a backbone that takes any number.

    Raises:
        BackboneError: no such backbone, or not with so many frames.
        WeightsUnavailableError: the checkpoint behind ``hf:`` can't be had.
    """
    nowhere = torch.device("meta")
    source = WeightsSource(kind="random", text="random:0")
    with nowhere:
        net = _build(BuildRequest(name=name, entry=find_entry(name), source=source, num_frames=num_frames))
    return Backbone(net, weights=WeightsSpec(sha256=""), device=nowhere, precision="fp32")


def choose_weights(name: str, entry: BackboneEntry, weights: str | None, source: PretrainedSource) -> WeightsSource:
    """The weights that are meant by ``--weights`` and ``--pretrained-source`` together.

    Raises:
        BackboneError: there are no published weights of that source.
        WeightsError: what was typed can't be understood.
        WeightsUnavailableError: there are none at all.
        ConfigError: made-up weights of a source.
    """
    if source not in get_args(PretrainedSource):
        raise ConfigError(f"pretrained source is {source!r}; allowed: {', '.join(get_args(PretrainedSource))}")
    if source != "auto" and source not in entry.sources:
        known = ", ".join(f"{key} ({value or entry.file_hint})" for key, value in entry.sources.items()) or "none"
        raise BackboneError(f"there are no weights of {name} pretrained on {source}; there are: {known}")
    if weights is None:
        published = entry.weights if source == "auto" else entry.sources[source]
        if published is None:
            file = entry.file_hint or "FILE"
            raise WeightsUnavailableError(
                f"no weights of {name} to download: give --weights {file}, or made up: --weights random:0"
            )
        return WeightsSource(kind="name", text=published)
    parsed = parse_weights(weights)
    if parsed.kind == "random" and source != "auto":
        raise ConfigError(f"weights {weights!r} are made up: leave pretrained source {source!r} out")
    return parsed


def check_device(device: str | torch.device) -> torch.device:
    """The device, if it is there.

    Raises:
        ExecutorError: it is not.
    """
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ExecutorError(f"device {device!r} does not exist; type cpu, cuda or cuda:N") from error
    if place.type == "cuda":
        count = torch.cuda.device_count()
        if (place.index or 0) >= count:
            raise ExecutorError(f"device {str(place)!r} is not there: this machine has {count} CUDA GPUs; type cpu")
    return place


def _build(request: BuildRequest) -> Net:
    try:
        return load_builder(request.entry)(request)
    except Exception as error:
        if not is_torchvision_mismatch(error):
            raise
        raise BackboneError(
            f"torchvision does not fit torch {torch.__version__}: they are of different builds;"
            " install both from one index, e.g. pip install --force-reinstall torch torchvision"
        ) from error
