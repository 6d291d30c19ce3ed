"""Cross-entropy, focal loss and logit adjustment beside numpy and torch's own cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fouls.heads.losses import MISSING, masked_cross_entropy
from fouls.heads.losses.cross_entropy import ClassTargets, adjust_logits, class_targets, cross_entropy, focal
from fouls.heads.losses.examples import weighted_mean

LOGITS = np.random.default_rng(0).standard_normal((7, 4))
LABELS = np.array([0, -1, 1, 3, -1, 0, 3])
WEIGHTS = np.array([0.5, 2.5, 0.0, 0.625])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def by_hand(smoothing: float, gamma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Loss and weight of each example."""
    losses, weights = np.zeros(7), np.zeros(7)
    for row, label in enumerate(LABELS):
        if label < 0:
            continue
        log_p = log_softmax(LOGITS[row : row + 1])[0]
        target = np.full(4, smoothing / 4)
        target[label] += 1 - smoothing
        losses[row] = -(WEIGHTS * target * log_p).sum() * (1 - np.exp(log_p[label])) ** gamma
        weights[row] = WEIGHTS[label]
    return losses, weights


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(LOGITS), torch.from_numpy(LABELS), torch.from_numpy(WEIGHTS)


def examples_with_targets(smoothing: float) -> tuple[Tensor, Tensor, ClassTargets]:
    logits, labels, weights = tensors()
    return logits, labels, class_targets(weights, smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing: float) -> None:
    losses, weights = by_hand(smoothing)
    examples = cross_entropy(*examples_with_targets(smoothing))
    np.testing.assert_allclose(examples.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(examples.weights, weights)
    mean = masked_cross_entropy(*tensors(), smoothing)
    assert mean.item() == pytest.approx(losses.sum() / weights.sum(), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_models_answer_for_the_same_labels(smoothing: float) -> None:
    logits, labels, weights = tensors()
    of_models = torch.stack([logits, 2 * logits, logits.flip(1)], dim=2)  # (7, 4, 3)
    of_models[1] = torch.nan  # its label is missing
    targets = class_targets(weights, smoothing)
    examples = cross_entropy(of_models, labels, targets)
    for model in range(3):
        alone = cross_entropy(of_models[..., model], labels, targets)
        torch.testing.assert_close(examples.losses[:, model], alone.losses, rtol=1e-12, atol=0)
    np.testing.assert_allclose(examples.weights, by_hand(smoothing)[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(smoothing: float) -> None:
    logits, labels, weights = tensors()
    expected = F.cross_entropy(logits, labels, weights, ignore_index=MISSING, label_smoothing=smoothing)
    torch.testing.assert_close(masked_cross_entropy(logits, labels, weights, smoothing), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.5])
def test_focal_by_hand(gamma: float, smoothing: float) -> None:
    losses, weights = by_hand(smoothing, gamma)
    examples = focal(*examples_with_targets(smoothing), gamma)
    np.testing.assert_allclose(examples.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(examples.weights, weights)


def test_focal_without_gamma_is_cross_entropy() -> None:
    examples = examples_with_targets(0.1)
    plain, focused = cross_entropy(*examples), focal(*examples, 0.0)
    torch.testing.assert_close(focused.losses, plain.losses, rtol=0, atol=0)


def test_class_weights_do_not_bend_the_focal_factor() -> None:
    """Twice the weight is twice the loss; a factor read off the weighted loss would not be."""
    logits, labels, weights = tensors()
    once, twice = (focal(logits, labels, class_targets(times * weights), 2.5).losses for times in (1, 2))
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.5])
def test_focal_gradient(gamma: float) -> None:
    logits, labels, weights = tensors()
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: weighted_mean(focal(z, labels, class_targets(weights, 0.1), gamma)), (logits,)
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.5])
def test_focal_is_finite_where_the_model_is_sure(gamma: float) -> None:
    logits = torch.tensor([[100.0, 0.0, 0.0], [-100.0, 0.0, 0.0]], requires_grad=True)
    loss = weighted_mean(focal(logits, torch.tensor([0, 0]), class_targets(torch.ones(3), 0.1), gamma))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_class_without_weight_counts_as_missing() -> None:
    """A label that train does not have can stand in valid; smoothing must not make a loss without weight of it."""
    logits, labels, weights = tensors()
    with_absent = torch.where(labels == MISSING, 2, labels)  # class 2 weighs 0
    expected = masked_cross_entropy(logits, labels, weights, 0.1)
    torch.testing.assert_close(masked_cross_entropy(logits, with_absent, weights, 0.1), expected, rtol=0, atol=0)
    assert masked_cross_entropy(logits, torch.full((7,), 2), weights, 0.1) == 0


def test_a_missing_label_has_no_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    masked_cross_entropy(logits, torch.tensor([1, -1, 2]), torch.ones(4), 0.1).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[0] != 0).all()


def test_logit_adjustment_by_hand() -> None:
    counts = np.array([60, 30, 0, 10])
    priors = np.array([60, 30, 1, 10]) / 101
    adjusted = adjust_logits(torch.from_numpy(LOGITS), torch.from_numpy(counts), 1.5)
    np.testing.assert_allclose(adjusted, LOGITS + 1.5 * np.log(priors), rtol=1e-12)
    loss = cross_entropy(adjusted, torch.tensor([3] * 7), class_targets(torch.ones(4, dtype=torch.float64))).losses
    scores = np.exp(LOGITS) * priors**1.5  # equation 10: the softmax of e^z · π^τ
    np.testing.assert_allclose(loss, -np.log(scores[:, 3] / scores.sum(axis=1)), rtol=1e-12)


def test_even_classes_need_no_adjustment() -> None:
    logits = torch.from_numpy(LOGITS)
    adjusted = adjust_logits(logits, torch.full((4,), 25), 1.0)
    torch.testing.assert_close(adjusted.softmax(dim=1), logits.softmax(dim=1))
