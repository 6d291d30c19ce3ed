"""ArcFace beside its definition by angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fouls.heads.losses.arcface import CosineOutput, add_margin, cosines_with_margin

SCALE, MARGIN = 30.0, 0.5


def test_cosines_with_margin_by_angle() -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 50, dtype=torch.float64)
    torch.testing.assert_close(cosines_with_margin(angles.cos(), MARGIN), (angles + MARGIN).cos())
    ends = cosines_with_margin(torch.tensor([1.0, -1.0]), MARGIN)
    torch.testing.assert_close(ends, torch.tensor([math.cos(MARGIN), -math.cos(MARGIN)]), rtol=1e-6, atol=0)


def test_cosines_with_margin_have_a_gradient() -> None:
    cosines = torch.linspace(-0.99, 0.99, 21, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: cosines_with_margin(c, MARGIN), (cosines,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_both_ends_and_beyond(dtype: torch.dtype) -> None:
    cosines = torch.tensor([1.0, -1.0, 1 + 1e-6, -1 - 1e-6, 1 - 1e-7, 0.0], dtype=dtype, requires_grad=True)
    cosines_with_margin(cosines, MARGIN).sum().backward()  # type: ignore[no-untyped-call]
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_the_margin_is_on_the_label_only() -> None:
    rng = np.random.default_rng(3)
    angles = rng.uniform(0.1, math.pi - MARGIN - 0.1, (5, 4))
    labels = np.array([0, 3, -1, 1, 2])
    expected = SCALE * np.cos(angles)
    for row, label in enumerate(labels):
        if label >= 0:
            expected[row, label] = SCALE * np.cos(angles[row, label] + MARGIN)
    logits = torch.from_numpy(SCALE * np.cos(angles))
    margins = add_margin(logits, torch.from_numpy(labels), scale=SCALE, margin=MARGIN)
    np.testing.assert_allclose(margins, expected, rtol=1e-12)


def test_the_label_gains_nothing_by_turning_away() -> None:
    """Past π − m the cosine of θ + m would grow again; the logit of the label must go on falling."""
    angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    logits = SCALE * torch.stack([angles.cos(), torch.zeros_like(angles)], dim=1)
    of_label = add_margin(logits, torch.zeros(400, dtype=torch.int64), scale=SCALE, margin=MARGIN)[:, 0]
    assert (of_label.diff() < 0).all()
    last = SCALE * (-1 - MARGIN * math.sin(MARGIN))
    assert of_label[-1].item() == pytest.approx(last, rel=1e-12)


def test_add_margin_has_a_gradient_and_none_where_labels_are_missing() -> None:
    logits = (SCALE * torch.linspace(-0.95, 0.95, 12, dtype=torch.float64).reshape(4, 3)).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda z: add_margin(z, labels, scale=SCALE, margin=MARGIN), (logits,))


def test_cosine_output_is_the_cosine_of_the_angle() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 6, requires_grad=True)
    output = CosineOutput(6, 3, scale=SCALE)
    features, weight = x.detach().double().numpy(), output.weight.detach().double().numpy()
    norms = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    cosines = features @ weight.T / norms
    np.testing.assert_allclose(output(x).detach(), SCALE * cosines, rtol=1e-4, atol=1e-4)
    published = CosineOutput(6, 3, scale=SCALE, margin=MARGIN)
    published.load_state_dict(output.state_dict())
    expected = SCALE * np.cos(np.arccos(cosines) + MARGIN)
    np.testing.assert_allclose(published(x).detach(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(published.eval()(x).detach(), expected, rtol=1e-4, atol=1e-4)  # at test too


@pytest.mark.parametrize("margin", [None, MARGIN])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_features_that_point_along_a_class_have_finite_gradients(margin: float | None, sign: float) -> None:
    output = CosineOutput(6, 3, scale=SCALE, margin=margin)
    x = (sign * output.weight.detach()).clone().requires_grad_()  # cos θ = ±1
    logits = add_margin(output(x), torch.arange(3), scale=SCALE, margin=MARGIN)
    logits.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert output.weight.grad is not None
    assert output.weight.grad.isfinite().all()
