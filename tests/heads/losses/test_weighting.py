"""Class weights beside scikit-learn and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from fouls.heads.losses import class_weights

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


@pytest.mark.parametrize("beta", [0.9, 0.999])
def test_effective_number(beta: float) -> None:
    numbers = np.array([sum(beta**power for power in range(count)) for count in (50, 10, 40)])  # 1 + β + … + β^(n−1)
    expected = (1 / numbers) / (1 / numbers).mean()
    weights = class_weights(COUNTS, "effective_number", 10, beta).numpy()
    np.testing.assert_allclose(weights[[0, 1, 3]], expected, rtol=1e-6)
    assert weights[2] == 0


def test_effective_number_goes_from_none_to_inverse() -> None:
    assert class_weights(COUNTS, "effective_number", 10, 0.0).tolist() == class_weights(COUNTS, "none", 10).tolist()
    nearly_one = class_weights(COUNTS, "effective_number", 10, 1 - 1e-9)
    np.testing.assert_allclose(nearly_one, class_weights(COUNTS, "inverse", 10), rtol=1e-6)


def test_weights_are_capped_and_none_is_one() -> None:
    assert class_weights(torch.tensor([1, 999]), "balanced", 10).tolist() == pytest.approx([10, 1000 / (2 * 999)])
    assert class_weights(COUNTS, "none", 10).tolist() == [1, 1, 0, 1]
    assert class_weights(torch.tensor([1, 10**6]), "effective_number", 1.5).max() == 1.5


@pytest.mark.parametrize("kind", ["none", "balanced", "inverse", "sqrt_inverse", "effective_number"])
def test_without_examples_every_weight_is_0(kind: str) -> None:
    assert class_weights(torch.zeros(3, dtype=torch.int64), kind, 10).tolist() == [0, 0, 0]  # type: ignore[arg-type]
