"""Calibration beside torchmetrics', scikit-learn's and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from fouls.heads.metrics import brier_score, expected_calibration_error, score
from fouls.heads.metrics.calibration import reliability


def make(count: int = 500, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    probabilities = (3 * torch.randn(count, classes, generator=generator)).softmax(dim=1)
    return probabilities, torch.randint(0, classes, (count,), generator=generator)


@pytest.mark.parametrize("bins", [10, 15])
def test_expected_calibration_error_is_torchmetrics(bins: int) -> None:
    probabilities, labels = make()
    expected = float(multiclass_calibration_error(probabilities, labels, 5, n_bins=bins, norm="l1"))
    assert expected > 0.3  # overconfident
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(expected, abs=1e-6)
    if bins == 15:
        assert score(probabilities, labels)["ece"] == pytest.approx(expected, abs=1e-6)


def test_bins_by_hand() -> None:
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [0.0, 1.0], [0.3, 0.7], [1.0, 0.0]])
    bins = reliability(probabilities, [0, 1, 1, 0, 0], num_bins=2)  # (0, 0.5] and (0.5, 1]
    assert bins.counts.tolist() == [1, 4]
    np.testing.assert_allclose(bins.confidence, [0.5, (0.6 + 1 + 0.7 + 1) / 4])
    np.testing.assert_allclose(bins.accuracy, [0, 3 / 4])
    assert bins.expected_error == pytest.approx((1 * 0.5 + 4 * abs(0.75 - 0.825)) / 5)
    assert reliability(probabilities, [0, 1, 1, 0, 0], num_bins=4).to_json() == {
        "count": [0, 1, 2, 2],
        "confidence": [None, 0.5, pytest.approx(0.65), 1.0],
        "accuracy": [None, 0.0, 0.5, 1.0],
    }


def test_brier_score_is_scikit_learns() -> None:
    probabilities, labels = make()
    table = probabilities.double() / probabilities.double().sum(dim=1, keepdim=True)
    assert brier_score(table, labels) == pytest.approx(brier_score_loss(labels, table, scale_by_half=False))
    assert brier_score([[1.0, 0.0], [0.0, 1.0]], [0, 0]) == pytest.approx((0 + 2) / 2)
    assert score(probabilities, labels)["brier"] == pytest.approx(brier_score(table, labels), abs=1e-6)
