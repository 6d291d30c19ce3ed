"""What holds for the loss of a task, whatever kind it is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from fouls.heads.losses import MISSING, LossConfig, TaskLoss, class_weights, masked_cross_entropy, task_loss
from fouls.heads.losses.arcface import add_margin
from fouls.heads.losses.config import LossKind
from fouls.heads.losses.cross_entropy import adjust_logits
from fouls.heads.losses.examples import label_steps, mix_labels
from fouls.heads.losses.soft_f1 import soft_f1

KINDS: tuple[LossKind, ...] = get_args(LossKind)
COUNTS = torch.tensor([50, 10, 0, 40])
CPU = torch.device("cpu")


def make(kind: LossKind, **options: Any) -> TaskLoss:
    return task_loss(LossConfig(kind=kind, **options), "action", COUNTS, CPU)


def batch(num_samples: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits in the range of ArcFace's cosines, and labels of which some are missing."""
    generator = torch.Generator().manual_seed(seed)
    logits = 30 * (2 * torch.rand(num_samples, 4, generator=generator, dtype=torch.float64) - 1)
    return logits, torch.tensor([0, MISSING, 1, 3, MISSING, 0, 3])[:num_samples]


def test_the_default_is_balanced_smoothed_cross_entropy() -> None:
    logits, labels = batch()
    expected = masked_cross_entropy(logits, labels, class_weights(COUNTS, "balanced", 10), 0.1)
    torch.testing.assert_close(task_loss(LossConfig(), "action", COUNTS, CPU)(logits, labels), expected)


def test_class_weights_are_as_configured() -> None:
    options = {"class_weights": "effective_number", "effective_number_beta": 0.9, "max_class_weight": 1.2}
    expected = class_weights(COUNTS, "effective_number", 1.2, 0.9)
    assert expected.max().item() == pytest.approx(1.2)
    torch.testing.assert_close(make("cross_entropy", **options).weights, expected, rtol=0, atol=0)


def test_cross_entropy_and_soft_f1_are_added() -> None:
    logits, labels = batch()
    expected = make("cross_entropy")(logits, labels) + soft_f1(logits, labels)
    torch.testing.assert_close(make("cross_entropy_soft_f1")(logits, labels), expected)


def test_margin_and_adjustment_are_for_training() -> None:
    logits, labels = batch()
    weights = class_weights(COUNTS, "balanced", 10)
    arcface, published = make("arcface"), make("arcface_published")
    margins = add_margin(logits, labels, scale=30, margin=0.5)
    torch.testing.assert_close(arcface(logits, labels), masked_cross_entropy(margins, labels, weights, 0.1))
    plain = masked_cross_entropy(logits, labels, weights, 0.1)
    torch.testing.assert_close(arcface(logits, labels, training=False), plain)
    torch.testing.assert_close(published(logits, labels), plain)  # the margin is in the output
    adjusting = make("cross_entropy", logit_adjustment_tau=0.5)
    adjusted = adjust_logits(logits, COUNTS, 0.5)
    torch.testing.assert_close(adjusting(logits, labels), masked_cross_entropy(adjusted, labels, weights, 0.1))
    torch.testing.assert_close(adjusting(logits, labels, training=False), plain)


def test_a_task_may_have_a_loss_of_its_own() -> None:
    config = LossConfig.from_dict({"by_task": {"severity": {"kind": "focal", "focal_gamma": 0.0}}})
    logits, labels = batch()
    action, severity = (task_loss(config, name, COUNTS, CPU) for name in ("action", "severity"))
    assert (action.config.kind, severity.config.kind) == ("cross_entropy", "focal")
    torch.testing.assert_close(severity(logits, labels), action(logits, labels))  # γ is 0


def test_several_labels_an_example() -> None:
    logits, labels = batch()
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), 4).masked_fill((labels < 0)[:, None], MISSING)
    loss = make("bce", label_smoothing=0.0, class_weights="none")
    kept = [0, 1, 3]  # class 2 weighs 0: its column does not count
    known = labels >= 0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[known][:, kept], targets[known][:, kept].double()
    )
    torch.testing.assert_close(loss(logits, targets), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_at_a_missing_label_changes_nothing(kind: LossKind) -> None:
    loss = make(kind, logit_adjustment_tau=0.0 if kind == "bce" else 1.0)
    logits, labels = batch()
    clean = loss(logits, labels)
    for other in (torch.nan, torch.inf, 1e30):
        dirty = logits.masked_fill((labels == MISSING)[:, None], other).requires_grad_()
        dirtied = loss(dirty, labels)
        dirtied.backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(dirtied, clean, rtol=0, atol=0)
        assert dirty.grad is not None
        assert (dirty.grad[labels == MISSING] == 0).all()
        assert dirty.grad.isfinite().all()
        assert (dirty.grad != 0).any()
    assert clean > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_samples", [0, 3])
def test_without_labels_it_costs_nothing(kind: LossKind, num_samples: int) -> None:
    logits = torch.randn(num_samples, 4, requires_grad=True)
    loss = make(kind)(logits, torch.full((num_samples,), MISSING))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient(kind: LossKind) -> None:
    logits, labels = batch()
    loss, given = make(kind), torch.rand(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, given), (logits.requires_grad_(),))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_labels_weigh_as_their_shares(kind: LossKind) -> None:
    """One sample with two labels: λ · L(a) + (1 − λ) · L(b), with each label's weight."""
    loss = make(kind)
    logits, _ = batch(1)
    mixed = loss(*mix_labels(logits, torch.tensor([0]), torch.tensor([1]), torch.tensor([0.3])))
    only_own = loss(*mix_labels(logits, torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0])))
    only_known = loss(*mix_labels(logits, torch.tensor([0]), torch.tensor([MISSING]), torch.tensor([0.3])))
    own, partner = loss(logits, torch.tensor([0])), loss(logits, torch.tensor([1]))
    torch.testing.assert_close(only_own, own)
    if kind in ("soft_f1", "cross_entropy_soft_f1"):
        return  # no mean over examples; test_soft_f1.py has the values
    a, b = 0.3 * loss.weights[0], 0.7 * loss.weights[1]
    torch.testing.assert_close(mixed, (a * own + b * partner) / (a + b))
    torch.testing.assert_close(only_known, own)


def test_steps_have_the_label_of_their_sample() -> None:
    loss = make("cross_entropy")
    logits = torch.randn(2, 3, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    flat_logits, flat_labels, shares = label_steps(logits, mask, torch.tensor([3, 1]))
    assert flat_labels.tolist() == [3, 3, MISSING, 1, MISSING, MISSING]
    assert shares is None
    expected = loss(torch.stack([logits[0, 0], logits[0, 1], logits[1, 0]]), torch.tensor([3, 3, 1]))
    torch.testing.assert_close(loss(flat_logits, flat_labels), expected)
    _, several, _ = label_steps(logits, mask, torch.tensor([[1, 0], [0, 1]]))
    assert several.tolist() == [[1, 0] if there else [MISSING] * 2 for there in mask[0]] + [
        [0, 1] if there else [MISSING] * 2 for there in mask[1]
    ]
    _, labels, shares = label_steps(logits, mask, torch.tensor([3, MISSING]), torch.tensor([0.25, 1.0]))
    assert labels.tolist() == [3, 3] + [MISSING] * 4
    assert shares is not None
    assert shares.tolist() == [0.25] * 3 + [1.0] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_models_gets_the_gradients_of_each(kind: LossKind) -> None:
    """``torch.func.vmap`` over the weights of several models gives what each alone gets."""
    torch.manual_seed(0)
    models = [torch.nn.Linear(6, 4) for _ in range(3)]
    x, (_, labels) = torch.randn(7, 6), batch()
    partners, given = labels.roll(1), torch.rand(7)
    loss = make(kind, logit_adjustment_tau=0.0 if kind == "bce" else 1.0)

    def cost(parameters: dict[str, Tensor]) -> Tensor:
        logits = functional_call(models[0], parameters, (x,))
        return loss(*mix_labels(logits, labels, partners, given)) + loss(logits, labels)

    stacked, _ = stack_module_state(models)  # type: ignore[arg-type]
    together = vmap(grad(cost))(stacked)
    for index, model in enumerate(models):
        alone = grad(cost)({name: value.detach() for name, value in model.named_parameters()})
        for name, value in alone.items():
            torch.testing.assert_close(together[name][index], value, rtol=1e-5, atol=1e-6)
