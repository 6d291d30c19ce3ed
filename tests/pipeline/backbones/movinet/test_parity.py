"""Every tensor that the original PyTorch port computed, from the same weights and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fouls.pipeline.backbones.movinet.configs import CONFIGS
from fouls.pipeline.backbones.movinet.net import MoViNet, StreamMoViNet
from tests.pipeline.backbones.movinet.nets import noise, with_weights

REFERENCES = [
    "a0_base_carving_ice_t16",
    "a1_base_carving_ice_t16",
    "a2_base_carving_ice_t16",
    "a3_base_carving_ice_t8",
    "a4_base_carving_ice_t8",
    "a5_base_carving_ice_t8",
    "a0_stream_carving_ice_t16",
    "a1_stream_carving_ice_t16",
]
INPUTS = {"frames_u8", "frame_index"}


def build(name: str) -> MoViNet | StreamMoViNet:
    size, kind, *_ = name.split("_")
    return with_weights((MoViNet if kind == "base" else StreamMoViNet)(CONFIGS[size]))


def outputs(net: MoViNet | StreamMoViNet, video: Tensor) -> dict[str, Tensor]:
    """Mean over time and space after each part, and what follows from frame features."""
    found: dict[str, Tensor] = {}
    channel = 1 if isinstance(net, MoViNet) else 2
    names = {"conv1": "stem_mean", "conv7": "conv7_mean"}
    names |= {f"blocks.{block}": f"block_mean__{block}" for block in net.blocks}

    def keep(name: str, out: Tensor | tuple[Tensor, object]) -> None:
        features = out if isinstance(out, Tensor) else out[0]
        found[name] = features.mean([dim for dim in range(5) if dim not in (0, channel)])

    handles = [
        module.register_forward_hook(lambda _module, _args, out, name=names[path]: keep(name, out))
        for path, module in net.named_modules()
        if path in names
    ]
    found["pooled"] = net(video).mean(1)
    for handle in handles:
        handle.remove()
    found["hidden"] = net.classifier.hidden(found["pooled"])
    found["logits"] = net.classifier(found["pooled"])
    return found


def streamed_logits(net: StreamMoViNet, video: Tensor, length: int) -> Tensor:
    """Logits after each sub-clip of ``length`` frames."""
    state, logits = None, []
    for clip in video.split(length, dim=2):
        _, state = net.stream(clip, state)
        logits.append(net.classifier(state.mean.value))
    return torch.cat(logits)


def check(ours: dict[str, Tensor], reference: dict[str, npt.NDArray[np.float32]]) -> None:
    assert ours.keys() == reference.keys()
    for name, expected in reference.items():
        np.testing.assert_allclose(ours[name].numpy(), expected, atol=1e-5, rtol=0, err_msg=name)


@pytest.mark.parametrize("name", REFERENCES)
@torch.inference_mode()
def test_equal_to_the_reference(name: str, shared: Path):
    with np.load(shared / "reference" / f"movinet_{name}.npz") as file:
        reference = {key: file[key] for key in file.files if key not in INPUTS}
        frames = torch.from_numpy(file["frames_u8"])
    net = build(name)
    video = (frames.float() / 255).transpose(0, 1)[None]
    ours = outputs(net, video)
    if "noise_logits" in reference:
        quiet = outputs(net, noise(1, 3, 8, *video.shape[-2:]))
        ours |= {f"noise_{key}": quiet[key] for key in ("pooled", "hidden", "logits")}
    if isinstance(net, StreamMoViNet):
        ours["logits_streamed"] = streamed_logits(net, video, 4)
        ours["logits_streamed_last"] = ours["logits_streamed"][-1:]
        ours["logits_frame_by_frame_last"] = streamed_logits(net, video, 1)[-1:]
    check(ours, reference)


def test_every_reference_is_compared(shared: Path):
    there = {path.stem.removeprefix("movinet_") for path in (shared / "reference").glob("movinet_*.npz")}
    assert there <= set(REFERENCES)
