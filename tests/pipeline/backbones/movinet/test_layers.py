from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fouls.pipeline.backbones.movinet.layers import CausalConv, Conv3d, Dense, FrameConv
from tests.pipeline.backbones.movinet.nets import noise, with_weights


def normed(x: Tensor, norm: nn.Module) -> Tensor:
    """Batch norm of (B, C, …), written out."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, weight, bias = (
        getattr(norm, name).view(shape) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-3).sqrt() * weight + bias


def test_conv_3d_written_out():
    layer = with_weights(Conv3d(4, 4, (5, 3, 3), stride=2, groups=4, activation=nn.SiLU))
    x = noise(2, 4, 7, 6, 9)
    padded = F.pad(x, (1, 1, 0, 1, 2, 2))  # width 9: 1 and 1; height 6: 0 and 1; time: 2 and 2
    expected = F.silu(
        normed(F.conv3d(padded, layer.conv_1.conv3d.weight, stride=(1, 2, 2), groups=4), layer.conv_1.norm)
    )
    assert expected.shape == (2, 4, 7, 3, 5)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=0)


def test_conv_of_frames_written_out():
    layer = with_weights(FrameConv(3, 8, 3, stride=2, activation=nn.Hardswish))
    x = noise(2, 5, 3, 9, 6)
    frames = F.pad(x.flatten(0, 1), (0, 1, 1, 1))
    expected = F.hardswish(normed(F.conv2d(frames, layer.conv_1.conv2d.weight, stride=2), layer.conv_1.norm))
    torch.testing.assert_close(layer(x), expected.view(2, 5, 8, 5, 3), atol=1e-6, rtol=0)


def test_causal_conv_is_a_3d_convolution_padded_before():
    layer = with_weights(CausalConv(6, (5, 3, 3), stride=1))
    x = noise(2, 7, 6, 5, 4)
    out, past = layer(x, None)
    spatial = F.conv2d(x.flatten(0, 1), layer.conv_1.conv2d.weight, padding=1, groups=6)
    frames = F.hardswish(normed(spatial, layer.conv_1.norm)).view(2, 7, 6, 5, 4)
    before = F.pad(frames.transpose(1, 2), (0, 0, 0, 0, 4, 0))
    over_time = F.conv3d(before, layer.conv_2.conv2d.weight.unsqueeze(-1), groups=6)
    expected = F.hardswish(normed(over_time, layer.conv_2.norm)).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(past, frames[:, -4:], atol=1e-6, rtol=0)


def test_without_a_kernel_in_time_there_is_no_past():
    layer = with_weights(CausalConv(6, (1, 5, 5), stride=1))
    assert not hasattr(layer, "conv_2")
    out, past = layer(noise(1, 2, 6, 5, 4), None)
    assert past is None
    assert out.shape == (1, 2, 6, 5, 4)


@pytest.mark.parametrize("dims", [2, 3])
def test_dense_is_kept_as_a_convolution(dims):
    layer = with_weights(Dense(5, 3, dims))
    key = f"conv_1.conv{dims}d"
    assert {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()} == {
        f"{key}.weight": (3, 5) + (1,) * dims,
        f"{key}.bias": (3,),
    }
    x = noise(2, 4, 5)
    weight, bias = layer.state_dict().values()
    torch.testing.assert_close(layer(x), x @ weight.view(3, 5).T + bias, atol=1e-6, rtol=0)
