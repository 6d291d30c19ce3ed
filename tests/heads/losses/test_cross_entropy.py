"""The loss beside numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from fouls.errors import ConfigError
from fouls.heads.losses import LossConfig, class_weights, masked_cross_entropy

COUNTS = torch.tensor([50, 10, 0, 40])


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 3], [50, 10, 40])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    np.testing.assert_allclose(class_weights(COUNTS, "balanced", 10).numpy()[[0, 1, 3]], expected, rtol=1e-6)


def test_inverse_weights_have_mean_one_over_the_classes() -> None:
    for kind, power in (("inverse", 1.0), ("sqrt_inverse", 0.5)):
        raw = np.array([50, 10, 40]) ** -power
        weights = class_weights(COUNTS, kind, 10).numpy()  # type: ignore[arg-type]
        np.testing.assert_allclose(weights[[0, 1, 3]], raw / raw.mean(), rtol=1e-6)
        assert weights[2] == 0


def test_weights_are_capped_and_none_is_one() -> None:
    assert class_weights(torch.tensor([1, 999]), "balanced", 10).tolist() == pytest.approx([10, 1000 / (2 * 999)])
    assert class_weights(COUNTS, "none", 10).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_weighted_mean_over_what_is_labelled(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((7, 4)), np.array([0, -1, 1, 3, -1, 0, 3])
    weights = class_weights(COUNTS, "balanced", 10).numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total, mass = 0.0, 0.0
    for row, label in zip(log_p, labels, strict=True):
        if label < 0:
            continue
        target = np.full(4, smoothing / 4)
        target[label] += 1 - smoothing
        total -= (weights * target * row).sum()
        mass += weights[label]
    loss = masked_cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(weights), smoothing
    )
    assert loss.item() == pytest.approx(total / mass, rel=1e-12)


def test_a_batch_without_labels_costs_nothing() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((3,), -1), torch.ones(4), 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_a_missing_label_has_no_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    masked_cross_entropy(logits, torch.tensor([1, -1, 2]), torch.ones(4), 0.1).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[0] != 0).all()


def test_values_are_checked() -> None:
    with pytest.raises(ConfigError, match="class weights is 'effective'; allowed: none, balanced"):
        LossConfig(class_weights="effective")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="label smoothing is 1; allowed"):
        LossConfig(label_smoothing=1.0)
