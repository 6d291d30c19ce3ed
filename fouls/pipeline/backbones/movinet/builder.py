"""From a name to a MoViNet with weights: ``movinet_a0`` … ``a5``, ``movinet_a0_stream`` … ``a2_stream``.

A stream net takes clips as any other backbone does, and goes on with a video by :func:`stream_features`.
``movinet_a0_stream_relu6`` and so on are the same nets with the gate of the TensorFlow graph: the gate decides the
features, so that it belongs to the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.movinet.configs import CONFIGS, HIDDEN_WIDTH, STREAM_SIZES, MoViNetConfig
from fouls.pipeline.backbones.movinet.net import MoViNet, StreamMoViNet
from fouls.pipeline.backbones.movinet.published import fetch, published_weights
from fouls.pipeline.backbones.movinet.streaming import StreamState
from fouls.pipeline.backbones.pooling import mean, mean_pool, token_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.tensors import load_state, read_tensors
from fouls.pipeline.backbones.weights import WeightsSource, seeded

NAME = re.compile(r"movinet_(?P<size>a\d)(?P<stream>_stream(?P<relu6>_relu6)?)?")
NUM_CLASSES = 600
"""Of Kinetics-600."""


def build(request: BuildRequest) -> Net:
    """Build a MoViNet from the published weights, a file of that format, or with made-up weights.

    Raises:
        BackboneError: a stream net that does not exist, or less than one frame.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    name = request.entry.alias_of or request.name
    size = _size_of(name)
    config = CONFIGS[size]
    num_frames = config.num_frames if request.num_frames is None else request.num_frames
    if num_frames < 1:
        raise BackboneError(f"{name} takes 1 frame a clip or more, not {num_frames}")
    source = request.source
    if source.kind == "folder":
        raise WeightsError(f"weights {source.text!r} are a folder; {name} reads a file")
    if source.kind == "name":
        source = fetch(source, published_weights(size, stream="_stream" in name))
    if source.kind == "random":
        with seeded(source.seed):
            module = _made_up(name, config)
    else:
        module = _load(name, config, source)
    pools = _pools(module, config.head_width, num_frames)
    return Net(
        name=name,
        num_frames=num_frames,
        preprocessing=_preprocessing(config),
        module=module.eval(),
        tokens=module,
        pools=pools,
        heads=("classifier",),
        stream=partial(stream_features, module, pools) if isinstance(module, StreamMoViNet) else None,
    )


def stream_features(
    net: StreamMoViNet, pools: Mapping[str, Pool], x: Tensor, state: StreamState | None, names: Sequence[str]
) -> tuple[dict[str, Tensor], StreamState]:
    """Go on with B videos at once, and pool what has been seen of them.

    Args:
        net: with its weights, in the dtype of ``x``.
        pools: of the :class:`Net` that was built.
        x: (B, 3, T, H, W), the next frames, at least one, in any number.
        state: what the call for the frames before these returned; ``None`` at the start of a video.
        names: of the pools that are wanted.

    Returns:
        pool → float32 (B, …): ``temporal`` has these frames, (B, T, D); the others are of all frames up to here.
        And the state after these frames.

    Raises:
        BackboneError: no frames, or the state is of videos of another number or size.
    """
    frames, state = net.stream(x, state)
    seen = state.mean.value.unsqueeze(1)  # the mean of all frames up to here, as if it were one frame
    return {name: pools[name].compute(frames if name == "temporal" else seen) for name in names}, state


def _size_of(name: str) -> str:
    """``a0`` of ``movinet_a0_stream``.

    Raises:
        BackboneError: there is no such net.
    """
    match = NAME.fullmatch(name)
    if match is None or match["size"] not in CONFIGS:
        raise BackboneError(f"there is no {name}; the sizes of MoViNet are {', '.join(CONFIGS)}")
    if match["stream"] and match["size"] not in STREAM_SIZES:
        there_are = ", ".join(f"movinet_{size}_stream" for size in STREAM_SIZES)
        raise BackboneError(
            f"there is no {name}: from A3 on stream nets need positional encodings, and PyTorch weights of them were"
            f" never published; there are: {there_are}, and movinet_{match['size']} for clips"
        )
    return match["size"]


def _construct(name: str, config: MoViNetConfig, num_classes: int) -> MoViNet | StreamMoViNet:
    if "_stream" not in name:
        return MoViNet(config, num_classes)
    return StreamMoViNet(config, num_classes, gate="relu6" if name.endswith("_relu6") else "hardsigmoid")


def _made_up(name: str, config: MoViNetConfig) -> MoViNet | StreamMoViNet:
    """Weights that keep the size of what goes through them: torch's own would let it fade out with the depth."""
    net = _construct(name, config, NUM_CLASSES)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return net


def _load(name: str, config: MoViNetConfig, source: WeightsSource) -> MoViNet | StreamMoViNet:
    """A net for as many classes as the weights have, or without a classifier where they have none."""
    state = read_tensors(source)
    found = _recognise(state)
    if found is not None and found != name.removesuffix("_relu6"):
        raise WeightsError(f"weights {source.text!r} are those of {found}, not {name}: type --backbone {found}")
    classes = next((len(state[key]) for key in state if re.fullmatch(r"classifier\.3\..*\.bias", key)), NUM_CLASSES)
    with torch.device("meta"):
        net = _construct(name, config, classes)
    if not any(key.startswith("classifier.") for key in state):
        net.classifier = None
    load_state(net, state, source)
    return net


def _recognise(state: Mapping[str, Tensor]) -> str | None:
    """The net of which these are weights: the width of the last convolution tells the size."""
    for stream, dims in (("", 3), ("_stream", 2)):
        last = state.get(f"conv7.conv_1.conv{dims}d.weight")
        for size, config in CONFIGS.items():
            if last is not None and len(last) == config.head_width:
                return f"movinet_{size}{stream}"
    return None


def _preprocessing(config: MoViNetConfig) -> PreprocessingSpec:
    """RGB from 0 to 1, without mean and std."""
    return PreprocessingSpec(
        resize_to=config.size, crop=config.size, antialias=True, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )


def _pools(module: MoViNet | StreamMoViNet, width: int, num_frames: int) -> dict[str, Pool]:
    """Of frame features, (B, T, D)."""
    pools = {"pooled": mean_pool(width)}
    classifier = module.classifier
    if classifier is not None:
        pools["hidden"] = Pool(shape=(HIDDEN_WIDTH,), compute=lambda frames: classifier.hidden(mean(frames)))
    pools["temporal"] = token_pool(num_frames, width)
    if classifier is not None:
        pools["logits"] = Pool(shape=(classifier.num_classes,), compute=lambda frames: classifier(mean(frames)))
    return pools
