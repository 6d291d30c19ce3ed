"""Made-up weights that make every part count, and a net so small that a test takes milliseconds."""

from __future__ import annotations

import zlib
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fouls.pipeline.backbones.movinet.configs import MoViNetConfig, Stage
from fouls.pipeline.backbones.movinet.net import MoViNet, StreamMoViNet

NetT = TypeVar("NetT", bound=nn.Module)

TINY = MoViNetConfig(
    num_frames=6,
    size=40,
    stem_width=8,
    stages=(
        Stage(width=8, kernels="155", expanded=(16,)),
        Stage(width=16, kernels="333 333", expanded=(24, 32)),
        Stage(width=16, kernels="533", expanded=(48,)),
        Stage(width=24, kernels="533 133", expanded=(40, 24)),
        Stage(width=24, kernels="333 155", expanded=(24, 48)),
    ),
    head_width=32,
)
"""Every kind of block: all kernels, all shortcuts."""


def made_up(key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The weights of the reference outputs: they depend on the key alone, and leave nothing at 0 or 1."""
    normal = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF).standard_normal(shape)
    if key.endswith("alpha"):
        return 0.5 + 0.1 * normal
    if key.endswith("norm.running_var"):
        return np.exp(0.2 * normal)
    if key.endswith("norm.weight"):
        return 1 + 0.1 * normal
    if key.endswith(("norm.running_mean", "bias")):
        return 0.1 * normal
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape)
    return normal / np.sqrt(np.prod(shape[1:]))


def made_up_state(module: nn.Module) -> dict[str, Tensor]:
    """A state dict for a net."""
    return {
        key: torch.from_numpy(np.asarray(made_up(key, tuple(tensor.shape)))).to(tensor.dtype)
        for key, tensor in module.state_dict().items()
    }


def with_weights(net: NetT) -> NetT:
    """The net with made-up weights, frozen."""
    net.load_state_dict(made_up_state(net))
    return net.requires_grad_(False).eval()


def tiny_base() -> MoViNet:
    """A base net of :data:`TINY` with 7 classes."""
    return with_weights(MoViNet(TINY, 7))


def tiny_stream() -> StreamMoViNet:
    """A stream net of :data:`TINY` with 7 classes."""
    return with_weights(StreamMoViNet(TINY, 7))


def noise(*shape: int, seed: int = 7) -> Tensor:
    """Values from 0 to 1."""
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape)).float()
