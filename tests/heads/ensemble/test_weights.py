"""Weights of an ensemble: fitted ones beside a general optimiser, averages by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from sklearn.metrics import log_loss
from torch.nn import functional as F

from fouls.errors import ConfigError
from fouls.heads.ensemble.weights import (
    fit_weights,
    likelihoods,
    negative_log_likelihood,
    normalised,
    weighted_average,
)


def made_up(
    runs: int, count: int, classes: int, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Probabilities (M, N, classes) of runs that know more and more of the labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.standard_normal((runs, count, classes))
    logits += np.linspace(0.5, 1.5, runs)[:, None, None] * np.eye(classes)[labels]
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=2, keepdims=True), labels


def loss_of(weights: npt.NDArray[np.float64], of_truth: npt.NDArray[np.float64]) -> float:
    return float(-np.log(weights @ of_truth).mean())


def by_scipy(of_truth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    runs = len(of_truth)
    found = minimize(
        loss_of,
        np.full(runs, 1 / runs),
        args=(of_truth,),
        method="SLSQP",
        bounds=[(0, 1)] * runs,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    weights: npt.NDArray[np.float64] = found.x
    return weights


@pytest.mark.parametrize(("runs", "seed"), [(2, 0), (3, 1), (5, 2), (14, 3)])
def test_fitted_weights_are_those_of_a_general_optimiser(runs: int, seed: int) -> None:
    of_truth = likelihoods(*made_up(runs, 300, 4, seed))
    ours, theirs = fit_weights(of_truth), by_scipy(of_truth)
    assert ours.sum() == pytest.approx(1)
    assert (ours >= 0).all()
    assert loss_of(ours, of_truth) <= loss_of(theirs, of_truth) + 1e-7
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_two_runs_by_trying_all_weights() -> None:
    of_truth = likelihoods(*made_up(2, 120, 3, seed=5))
    tried = np.linspace(0, 1, 10_001)
    best = tried[np.argmin([loss_of(np.array([first, 1 - first]), of_truth) for first in tried])]
    assert fit_weights(of_truth)[0] == pytest.approx(best, abs=1e-3)


def test_what_a_run_knows_better_everywhere_decides_alone() -> None:
    weights = fit_weights(np.array([[0.9, 0.8, 0.7], [0.5, 0.4, 0.3], [0.8, 0.7, 0.1]]))
    np.testing.assert_allclose(weights, [1, 0, 0], atol=1e-6)


def test_runs_that_say_the_same_weigh_the_same() -> None:
    of_truth = np.tile(likelihoods(*made_up(1, 50, 3)), (4, 1))
    np.testing.assert_array_equal(fit_weights(of_truth), [0.25] * 4)


def test_multi_label_weights_and_likelihood() -> None:
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 2, (80, 5))
    scores = 1 / (
        1 + np.exp(-(rng.standard_normal((3, 80, 5)) + np.array([0.5, 1, 2])[:, None, None] * (2 * truth - 1)))
    )
    labels = truth.copy()
    labels[::10] = -1  # not labelled
    known = labels[:, 0] >= 0

    def bce(weights: npt.NDArray[np.float64]) -> float:
        mean = torch.from_numpy(np.tensordot(weights, scores, axes=1)[known])
        return float(F.binary_cross_entropy(mean, torch.from_numpy(truth[known]).double()))

    of_truth = likelihoods(scores, labels, multi_label=True)
    assert of_truth.shape == (3, 72 * 5)
    ours, theirs = fit_weights(of_truth), by_scipy(of_truth)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    average = np.tensordot(ours, scores, axes=1)
    assert negative_log_likelihood(average, labels, multi_label=True) == pytest.approx(bce(ours), rel=1e-9)
    assert bce(ours) <= bce(theirs) + 1e-7


def test_the_likelihood_is_scikit_learns() -> None:
    probabilities, labels = made_up(1, 60, 4)
    assert negative_log_likelihood(probabilities[0], labels) == pytest.approx(log_loss(labels, probabilities[0]))
    some = np.where(np.arange(60) % 3, labels, -1)
    expected = log_loss(labels[some >= 0], probabilities[0][some >= 0], labels=range(4))
    assert negative_log_likelihood(probabilities[0], some) == pytest.approx(expected)
    assert negative_log_likelihood(probabilities[0], np.full(60, -1)) is None


def test_a_probability_of_zero_is_no_infinity() -> None:
    certain = np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.6, 0.4]]])
    labels = np.array([1, 1])  # the first label nobody expected
    weights = fit_weights(likelihoods(certain, labels))
    np.testing.assert_allclose(weights, [0, 1], atol=1e-6)
    assert negative_log_likelihood(certain[0], labels) == pytest.approx(-np.log(1e-12))


def test_the_average_by_hand() -> None:
    probabilities = np.array(
        [[[0.2, 0.8], [0.5, 0.5], [np.nan, np.nan], [0.1, 0.9]], [[0.6, 0.4], [np.nan, np.nan], [0.3, 0.7], [1.0, 0.0]]]
    )
    present = np.array([[True, True, False, True], [True, False, True, True]])
    found = weighted_average(probabilities, present, np.array([0.75, 0.25]))
    np.testing.assert_allclose(found, [[0.3, 0.7], [0.5, 0.5], [0.3, 0.7], [0.325, 0.675]], atol=1e-7)
    alone = weighted_average(probabilities, present, np.array([1.0, 0.0]))
    np.testing.assert_allclose(alone, [[0.2, 0.8], [0.5, 0.5], [0.3, 0.7], [0.1, 0.9]], atol=1e-7)


def test_given_weights() -> None:
    np.testing.assert_allclose(normalised([3, 1], 2), [0.75, 0.25])
    with pytest.raises(ConfigError, match=r"weights 1,2,3 are 3, but there are 2 runs: give one a run"):
        normalised([1, 2, 3], 2)
    for wrong in ([-1, 2], [0, 0], [float("nan"), 1], [float("inf"), 1]):
        with pytest.raises(ConfigError, match="allowed are numbers from 0 on, one of them above 0"):
            normalised(wrong, 2)
