from __future__ import annotations

import pytest
import torch

from fouls.pipeline.backbones.movinet.padding import AveragePoolSame, pad_same, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (172, 3, 2, (0, 1)),
        (43, 3, 2, (1, 1)),
        (86, 5, 2, (1, 2)),
        (145, 5, 2, (2, 2)),
        (86, 3, 1, (1, 1)),
        (43, 5, 1, (2, 2)),
        (43, 1, 1, (0, 0)),
        (1, 5, 2, (2, 2)),
        (2, 5, 2, (1, 2)),
    ],
)
def test_same_padding_by_hand(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected
    outputs = (size + sum(expected) - kernel) // stride + 1
    assert outputs == -(-size // stride)


def test_each_side_is_padded_for_itself():
    x = torch.ones(1, 1, 4, 5)
    padded = pad_same(x, 3, 2)
    assert padded.shape == (1, 1, 5, 7)
    assert padded[0, 0, 4].sum() == 0  # below only
    assert padded[0, 0, :, 0].sum() == padded[0, 0, :, 6].sum() == 0  # left and right
    assert padded.sum() == x.sum()


def test_average_of_an_even_side_by_hand():
    x = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    # windows: rows 0–2 or 2–3, columns 0–2 or 2–3
    expected = [[5.0, 6.5], [11.0, 12.5]]
    assert AveragePoolSame()(x)[0, 0, 0].tolist() == expected


def test_average_of_an_odd_side_by_hand():
    x = torch.arange(9.0).reshape(1, 1, 1, 3, 3)
    # windows: rows 0–1 or 1–2, columns 0–1 or 1–2
    expected = [[2.0, 3.0], [5.0, 6.0]]
    assert AveragePoolSame()(x)[0, 0, 0].tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 1), (7, 10), (10, 7)])
def test_average_counts_no_padding(height, width):
    out = AveragePoolSame()(torch.ones(2, 3, 4, height, width))
    assert torch.equal(out, torch.ones(2, 3, 4, -(-height // 2), -(-width // 2)))
