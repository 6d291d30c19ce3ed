from __future__ import annotations

import pytest
import torch
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d, _compute_attention_mask_3d

from fouls.pipeline.backbones import attention
from fouls.pipeline.backbones.swin_attention import TiledWindowAttention, fit, join, shift_masks, split


def windows(window, shift, heads=2, dim=16):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        original = ShiftedWindowAttention3d(dim, list(window), list(shift), heads).eval().requires_grad_(False)
        original.relative_position_bias_table.normal_()
        original.qkv.bias.normal_()
    return original


def tokens(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        ((4, 6, 6), (2, 3, 3), (0, 0, 0)),
        ((4, 6, 6), (2, 3, 3), (1, 1, 1)),
        ((2, 6, 9), (2, 3, 3), (1, 1, 1)),  # one window in time: no shift there
        ((5, 7, 8), (2, 3, 3), (1, 1, 1)),  # padded in every direction
        ((1, 2, 3), (2, 3, 3), (1, 1, 1)),  # smaller than a window
    ],
)
@pytest.mark.parametrize("tile_bytes", [2**22, 5000])
def test_windows_equal_torchvision(monkeypatch, size, window, shift, tile_bytes):
    monkeypatch.setattr(attention, "TILE_BYTES", tile_bytes)
    original = windows(window, shift)
    x = tokens(3, *size, 16)
    torch.testing.assert_close(TiledWindowAttention(original)(x), original(x), atol=2e-6, rtol=0)


def test_the_masks_are_torchvisions():
    size, window, shift = (4, 6, 9), (2, 3, 3), (1, 0, 1)
    wanted = _compute_attention_mask_3d(torch.zeros(()), size, window, shift)  # (windows, N, N)
    masks = shift_masks(size, window, shift, torch.float32)
    assert len(masks) == len(wanted) == 12
    for ours, theirs in zip(masks, wanted, strict=True):
        assert torch.equal(torch.zeros_like(theirs) if ours is None else ours, theirs)
    assert [mask is None for mask in masks] == [not theirs.any() for theirs in wanted]
    assert len({id(mask) for mask in masks if mask is not None}) == 3


def test_split_and_join():
    x = tokens(2, 4, 6, 6, 5)
    parts = split(x, (2, 3, 2))
    assert parts.shape == (2 * 12, 12, 5)
    assert torch.equal(parts[1], x[0, :2, :3, 2:4].reshape(12, 5))
    assert torch.equal(parts[12], x[1, :2, :3, :2].reshape(12, 5))
    assert torch.equal(join(parts, x.shape, (2, 3, 2)), x)


def test_a_window_fits_the_input():
    assert fit((8, 56, 56), (8, 7, 7), (4, 3, 3)) == ((8, 7, 7), (0, 3, 3))
    assert fit((3, 14, 7), (8, 7, 7), (4, 3, 3)) == ((3, 7, 7), (0, 3, 0))
