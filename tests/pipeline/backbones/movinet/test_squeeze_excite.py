from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fouls.pipeline.backbones.movinet.squeeze_excite import CausalSqueezeExcite, SqueezeExcite, gate, make_divisible
from tests.pipeline.backbones.movinet.nets import noise, with_weights


def test_gates_by_hand():
    x = torch.tensor([-4.0, -2.75, 0.0, 1.0, 2.75, 4.0])
    assert gate(x, "hardsigmoid").tolist() == pytest.approx([0, 0, 0.5, 0.7, 1, 1])
    assert gate(x, "relu6").tolist() == pytest.approx([0, 0.25 / 6, 0.5, 4 / 6, 5.75 / 6, 1])


@pytest.mark.parametrize(("width", "expected"), [(1, 8), (6, 8), (10, 16), (20, 24), (46, 48), (70, 72), (140, 144)])
def test_make_divisible(width, expected):
    assert make_divisible(width) == expected


def test_base_reads_the_mean_of_the_clip():
    layer = with_weights(SqueezeExcite(24))
    x = noise(2, 24, 3, 4, 5)
    weights = torch.sigmoid(layer.fc2(F.silu(layer.fc1(x.mean((2, 3, 4))))))
    expected = x * weights.view(2, 24, 1, 1, 1)
    torch.testing.assert_close(layer(x.clone()), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["hardsigmoid", "relu6"])
def test_causal_reads_the_frame_and_the_mean_up_to_it(kind):
    layer = with_weights(CausalSqueezeExcite(24, kind))
    x = noise(2, 5, 24, 3, 4)
    expected = []
    for step in range(5):
        so_far, here = x[:, : step + 1].mean((1, 3, 4)), x[:, step].mean((2, 3))
        weights = gate(layer.fc2(F.hardswish(layer.fc1(torch.cat([so_far, here], 1)))), kind)
        expected.append(x[:, step] * weights.view(2, 24, 1, 1))
    out, mean = layer(x.clone(), None)
    torch.testing.assert_close(out, torch.stack(expected, 1), atol=1e-6, rtol=0)
    assert mean.num_frames == 5
    torch.testing.assert_close(mean.value, x.mean((1, 3, 4)), atol=1e-6, rtol=0)
