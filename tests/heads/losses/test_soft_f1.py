"""Soft F1 beside scikit-learn and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from fouls.heads.losses.examples import mix_labels
from fouls.heads.losses.soft_f1 import soft_f1

RNG = np.random.default_rng(2)


def by_hand(p: np.ndarray, y: np.ndarray) -> float:
    """From probabilities and targets, both (N, classes)."""
    tp, fp, fn = (p * y).sum(0), (p * (1 - y)).sum(0), ((1 - p) * y).sum(0)
    macro = np.mean(2 * tp / (2 * tp + fp + fn + 1e-7))
    micro = 2 * tp.sum() / (2 * tp.sum() + fp.sum() + fn.sum() + 1e-7)
    return float((1 - macro) + (1 - micro))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_with_sure_predictions_it_is_the_true_f1() -> None:
    labels, predictions = RNG.integers(0, 5, 40), RNG.integers(0, 5, 40)
    logits = torch.from_numpy(np.eye(5)[predictions] * 1e3)
    macro, micro = (f1_score(labels, predictions, average=average) for average in ("macro", "micro"))
    assert soft_f1(logits, torch.from_numpy(labels)).item() == pytest.approx(2 - macro - micro, abs=1e-6)


def test_by_hand_with_missing_labels_and_a_class_that_the_batch_lacks() -> None:
    logits, labels = RNG.standard_normal((9, 4)), np.array([0, 1, -1, 0, 2, 2, -1, 1, 0])
    known = labels >= 0
    expected = by_hand(softmax(logits)[known], np.eye(4)[labels[known]])
    assert soft_f1(torch.from_numpy(logits), torch.from_numpy(labels)).item() == pytest.approx(expected, rel=1e-12)


def test_mixed_labels_are_shares_of_targets() -> None:
    logits, own, partner = RNG.standard_normal((6, 3)), RNG.integers(0, 3, 6), RNG.integers(0, 3, 6)
    shares = RNG.random(6)
    targets = shares[:, None] * np.eye(3)[own] + (1 - shares[:, None]) * np.eye(3)[partner]
    loss = soft_f1(*mix_labels(*map(torch.from_numpy, (logits, own, partner, shares))))
    assert loss.item() == pytest.approx(by_hand(softmax(logits), targets), rel=1e-12)


def test_gradient() -> None:
    logits = torch.from_numpy(RNG.standard_normal((6, 4))).requires_grad_()
    labels = torch.tensor([0, 1, -1, 2, 2, 0])
    assert torch.autograd.gradcheck(lambda z: soft_f1(z, labels), (logits,))
