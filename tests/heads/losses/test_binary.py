"""Binary cross-entropy beside scikit-learn's log loss, class by class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from fouls.heads.losses.binary import multi_label, one_vs_rest
from fouls.heads.losses.examples import weighted_mean

RNG = np.random.default_rng(1)
LOGITS = RNG.standard_normal((8, 3)) * 3
P = 1 / (1 + np.exp(-LOGITS))
WEIGHTS = np.array([0.5, 2.0, 1.25])


def bce(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def test_one_vs_rest_is_the_mean_log_loss_of_the_classes() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    examples = one_vs_rest(torch.from_numpy(LOGITS), torch.from_numpy(labels), torch.ones(3))
    of_classes = [log_loss(labels == c, P[:, c], labels=[False, True]) for c in range(3)]
    assert weighted_mean(examples).item() == pytest.approx(np.mean(of_classes), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_vs_rest_by_hand(smoothing: float) -> None:
    labels = np.array([0, 1, -1, 0, 1, 2, -1, 0])
    examples = one_vs_rest(torch.from_numpy(LOGITS), torch.from_numpy(labels), torch.from_numpy(WEIGHTS), smoothing)
    weights = np.where(labels < 0, 0.0, WEIGHTS[labels])
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    np.testing.assert_allclose(examples.losses, weights * bce(P, targets).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(examples.weights, weights)


def test_multi_label_is_the_weighted_log_loss_of_the_classes() -> None:
    targets = RNG.integers(0, 2, (8, 3))
    targets[:2] = [[0, 1, 0], [1, 0, 1]]  # either value in every class
    targets[5, 0] = targets[6, 2] = -1
    examples = multi_label(torch.from_numpy(LOGITS), torch.from_numpy(targets), torch.from_numpy(WEIGHTS))
    known = targets >= 0
    total = sum(WEIGHTS[c] * log_loss(targets[known[:, c], c], P[known[:, c], c], normalize=False) for c in range(3))
    assert weighted_mean(examples).item() == pytest.approx(total / (known * WEIGHTS).sum(), rel=1e-12)


def test_multi_label_by_hand_with_shares_and_smoothing() -> None:
    targets = RNG.random((8, 3))
    examples = multi_label(torch.from_numpy(LOGITS), torch.from_numpy(targets), torch.from_numpy(WEIGHTS), 0.2)
    np.testing.assert_allclose(examples.losses, (WEIGHTS * bce(P, 0.8 * targets + 0.1)).sum(axis=1), rtol=1e-12)


def test_what_stands_where_a_target_is_not_known_changes_nothing() -> None:
    targets = torch.tensor([[1, -1, 0], [-1, -1, -1]])
    clean = torch.tensor([[0.3, 0.0, -2.0], [0.0, 0.0, 0.0]])
    logits = clean.masked_fill(targets < 0, torch.nan).requires_grad_()
    loss = weighted_mean(multi_label(logits, targets, torch.ones(3)))
    loss.backward()  # type: ignore[no-untyped-call]
    expected = bce(1 / (1 + np.exp([-0.3, 2.0])), np.array([1.0, 0.0])).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert logits.grad is not None
    assert (logits.grad[targets < 0] == 0).all()
    assert (logits.grad[targets >= 0] != 0).all()
