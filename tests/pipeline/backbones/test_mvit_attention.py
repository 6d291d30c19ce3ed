from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.video.mvit import MultiscaleAttention, Pool

from fouls.pipeline.backbones import attention
from fouls.pipeline.backbones.mvit_attention import TiledPoolingAttention, TokenPool, places

GRID = (4, 8, 8)


def pooling_attention(kernels, strides, *, rel_pos=True, residual=True, residual_of_class=False):
    kernel_q, kernel_kv = ([] if one is None else [one] * 3 for one in kernels)
    stride_q, stride_kv = ([] if one is None else [1, one, one] for one in strides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MultiscaleAttention(
            list(GRID), 16, 24, 3, kernel_q, kernel_kv, stride_q, stride_kv, residual, residual_of_class, rel_pos,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )  # fmt: skip
        for name, parameter in made.eval().requires_grad_(False).named_parameters():
            if "rel_pos" in name or parameter.ndim == 1:
                parameter.normal_()
    return made


def tokens(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("kernels", "strides", "options"),
    [
        ((3, 3), (1, 2), {}),
        ((3, 3), (2, 1), {}),
        ((3, 3), (1, 8), {"residual_of_class": True}),
        ((None, 3), (None, 2), {"rel_pos": False, "residual": False}),  # MViTv1: nothing pools the queries
        ((None, None), (None, None), {}),
    ],
)
@pytest.mark.parametrize("tile_bytes", [2**22, 20000])
def test_pooling_attention_equals_torchvision(monkeypatch, kernels, strides, options, tile_bytes):
    monkeypatch.setattr(attention, "TILE_BYTES", tile_bytes)
    original = pooling_attention(kernels, strides, **options)
    x = tokens(2, 1 + 4 * 8 * 8, 16)
    ours, grid = TiledPoolingAttention(original)(x, GRID)
    theirs, wanted = original(x, GRID)
    assert tuple(grid) == tuple(wanted)
    torch.testing.assert_close(ours, theirs, atol=2e-5 * theirs.abs().max().item(), rtol=0)


@pytest.mark.parametrize("outer", [(2,), (2, 3)], ids=["tokens", "heads"])
@pytest.mark.parametrize("norm", [None, nn.LayerNorm(6)])
def test_pools_equal_torchvision_to_the_bit(outer, norm):
    original = Pool(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), norm)
    x = tokens(*outer, 1 + 4 * 8 * 8, 6)
    ours, grid = TokenPool(original)(x, GRID)
    theirs, wanted = original(x, GRID)
    assert tuple(grid) == tuple(wanted) == (4, 4, 4)
    assert torch.equal(ours, theirs)


def test_places():
    ours = places((2, 2, 3), torch.zeros(()))
    assert ours.shape == (1 + 12, 2 + 3 + 2)
    assert ours[0].tolist() == [0, 0, 0, 0, 0, 0, 0]
    assert ours[1].tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert ours[1 + 6 + 3 + 2].tolist() == [0, 1, 0, 0, 1, 0, 1]  # second step, second row, third column
