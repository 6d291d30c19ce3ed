"""``mvfouls`` beside its parts written out, one track at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fouls.heads.batch import Batch, InputForm
from fouls.heads.mvfouls import MvfoulsConfig, TimeConvolutions, TimeLstm
from fouls.heads.tasks import Task

TASKS = (Task(name="action", classes=("a", "b", "c")), Task(name="severity", classes=("x", "y")))
GRID = InputForm(widths=(8,), num_steps=24, tokens=True, grid=(4, 3, 2))
STEPS = InputForm(widths=(8,), num_steps=4)
VECTOR = InputForm(widths=(8,))


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def build(form: InputForm, **options: Any) -> Any:
    torch.manual_seed(0)
    small = {"standardise": False, "hidden": 16, "num_groups": 4, "lstm_hidden": 3, **options}
    head: Any = MvfoulsConfig(**small).resolved(form, TASKS).build(form, TASKS).eval()
    for scale in head.scales.values():
        scale.fill_(1.5)
    return head


def batch(form: InputForm) -> Batch:
    """A sample with 1 view and one with 3, whole."""
    x = torch.randn(2, 3, form.num_steps, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 3, form.num_steps, dtype=torch.bool)
    mask[0, 1:] = False
    return Batch(x=x, mask=mask, view_kinds=torch.zeros(2, 3, dtype=torch.int64))


def attention(pool: Any, x: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """The attention of Ilse et al. over vectors (N, D)."""
    first, second = pool.score[0], pool.score[2]
    scores = [float(second.weight[0] @ torch.tanh(first.weight @ each + first.bias) + second.bias) for each in x]
    weights = torch.softmax(torch.tensor(scores) / temperature, dim=0)
    return torch.stack([weight * each for weight, each in zip(weights, x, strict=True)]).sum(0), weights


def classified(head: Any, sample: Tensor) -> dict[str, Tensor]:
    """From the vector of a sample to its logits, layer by layer."""
    layers = [type(layer).__name__ for layer in head.shared]
    assert layers == ["Linear", "GroupNorm", "ReLU", "Dropout"] * 2
    for linear, norm in ((head.shared[0], head.shared[1]), (head.shared[4], head.shared[5])):
        groups = linear(sample).reshape(4, 4)  # 4 groups
        spread = groups.var(dim=1, keepdim=True, correction=0)
        normal = ((groups - groups.mean(dim=1, keepdim=True)) / (spread + 1e-5).sqrt()).flatten()
        sample = (normal * norm.weight + norm.bias).clamp(min=0)
    return {task.name: 1.5 * head.outputs[f"task:{task.name}"](sample) for task in TASKS}


@pytest.mark.parametrize("spatial", ["average", "max", "attention"])
def test_places_are_pooled_then_steps_then_views(spatial: Any) -> None:
    head, given = build(GRID, spatial_pooling=spatial, view_pooling="mean"), batch(GRID)
    views = []
    for view in range(3):
        steps = []
        for step in given.x[1, view].reshape(4, 6, 8):
            pooled = {"average": step.mean(0), "max": step.amax(0)}.get(spatial)
            steps.append(attention(head.spatial, step)[0] if pooled is None else pooled)
        views.append(torch.stack(steps).mean(0))
    expected = classified(head, torch.stack(views).mean(0))
    for task in TASKS:
        torch.testing.assert_close(head(given).logits[task.name][1], expected[task.name])


@pytest.mark.parametrize("form", [STEPS, VECTOR], ids=["steps", "vector"])
@pytest.mark.parametrize(("kind", "temperature"), [("mean", 1.0), ("max", 1.0), ("attention", 1.0), ("attention", 0.1)])
def test_views_are_pooled_with_a_temperature(form: InputForm, kind: Any, temperature: float) -> None:
    head, given = build(form, view_pooling=kind, temperature=temperature), batch(form)
    views, output = given.x[1].mean(dim=1), head(given)
    pooled = {"mean": views.mean(0), "max": views.amax(0)}.get(kind)
    if pooled is None:
        pooled, weights = attention(head.views, views, temperature)
        torch.testing.assert_close(output.extras.view_weights["views"][1], weights)
        torch.testing.assert_close(output.extras.view_weights["views"][0], torch.tensor([1.0, 0.0, 0.0]))
    else:
        assert not output.extras.view_weights
    for task, expected in classified(head, pooled).items():
        torch.testing.assert_close(output.logits[task][1], expected)


def test_depthwise_convolutions_have_dilations_1_2_3() -> None:
    layer = TimeConvolutions(5)
    x = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    expected = x.transpose(1, 2)
    for convolution, dilation in zip(layer.layers, (1, 2, 3), strict=True):
        convolution.bias.normal_()
        kernel = convolution.weight.T[:, None]
        expected = expected + F.conv1d(
            expected, kernel, convolution.bias, padding=dilation, dilation=dilation, groups=5
        ).clamp(min=0)
    padded = F.pad(x, (0, 0, 0, 4))
    torch.testing.assert_close(layer(padded, (torch.arange(11) < 7).expand(2, 11)), expected.mean(dim=2))


def test_the_lstm_reads_both_ways_without_the_padding() -> None:
    torch.manual_seed(0)
    layer = TimeLstm(5, 3)
    x = torch.randn(2, 6, 5)
    mask = torch.arange(6) < torch.tensor([4, 6])[:, None]
    pooled = layer(x.masked_fill(~mask[..., None], 9.0), mask)
    for row, length in enumerate((4, 6)):
        states = layer.lstm(x[row : row + 1, :length])[0][0]  # (S, 2 × 3)
        torch.testing.assert_close(pooled[row], attention(layer.attention, states)[0])
        forwards = torch.lstm(
            x[row : row + 1, :length], (torch.zeros(1, 1, 3),) * 2,
            [weight for name, weight in layer.lstm.named_parameters() if "reverse" not in name],
            True, 1, 0.0, False, False, True,
        )[0][0]  # fmt: skip
        torch.testing.assert_close(states[:, :3], forwards)


def test_other_outputs_have_no_learned_scale() -> None:
    assert not build(VECTOR, output="arcface").scales
