"""Smoothness in time beside loops over pairs of steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fouls.heads.losses.smoothness import l1, smoothness, truncated_mse

LOGITS = np.random.default_rng(4).standard_normal((2, 2, 5, 3)) * 4
MASK = np.zeros((2, 2, 5), dtype=bool)
for sample, view, length in ((0, 0, 5), (0, 1, 3), (1, 0, 1)):
    MASK[sample, view, :length] = True


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """(logits at t − 1, logits at t), where both are there."""
    return [
        (LOGITS[sample, view, step - 1], LOGITS[sample, view, step])
        for sample, view, step in np.argwhere(MASK)
        if step and MASK[sample, view, step - 1]
    ]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum())


def given() -> tuple[Tensor, Tensor]:
    return torch.from_numpy(LOGITS.copy()), torch.from_numpy(MASK)


def test_l1_by_hand() -> None:
    assert len(pairs()) == 6
    expected = np.mean([np.abs(after - before) for before, after in pairs()])
    assert l1(*given()).item() == pytest.approx(expected, rel=1e-12)


def test_truncated_mse_by_hand() -> None:
    changes = [(log_softmax(after) - log_softmax(before)) ** 2 for before, after in pairs()]
    assert np.max(changes) > 16  # something is truncated
    expected = np.mean(np.minimum(changes, 16))
    assert truncated_mse(*given()).item() == pytest.approx(expected, rel=1e-12)


def test_truncated_mse_moves_the_later_step_only() -> None:
    logits, mask = torch.tensor([[0.0, 1.0], [0.5, 0.0]], requires_grad=True), torch.ones(1, 1, 2, dtype=torch.bool)
    truncated_mse(logits[None, None], mask).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[0] == 0).all()
    assert (logits.grad[1] != 0).all()


def test_gradients() -> None:
    mask = torch.ones(1, 1, 2, dtype=torch.bool)
    first, second = torch.from_numpy(LOGITS[:1, :1, :1]), torch.from_numpy(LOGITS[:1, :1, 1:2]).requires_grad_()
    for loss in (l1, truncated_mse):
        assert torch.autograd.gradcheck(lambda z, loss=loss: loss(torch.cat([first, z], dim=2), mask), (second,))


@pytest.mark.parametrize("kind", ["l1", "truncated_mse"])
def test_padding_changes_nothing(kind: str) -> None:
    logits, mask = given()
    clean = smoothness(kind, logits, mask)  # type: ignore[arg-type]
    dirty = logits.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    loss = smoothness(kind, dirty, mask)  # type: ignore[arg-type]
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, clean, rtol=0, atol=0)
    assert dirty.grad is not None
    assert (dirty.grad[~mask] == 0).all()
    assert dirty.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["none", "l1", "truncated_mse"])
@pytest.mark.parametrize("shape", [(0, 1, 4), (2, 1, 1), (2, 1, 4)])
def test_without_pairs_it_costs_nothing(kind: str, shape: tuple[int, ...]) -> None:
    logits = torch.randn(*shape, 3, requires_grad=True)
    loss = smoothness(kind, logits, torch.zeros(shape, dtype=torch.bool))  # type: ignore[arg-type]
    assert loss == 0
    if kind != "none":
        loss.backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert (logits.grad == 0).all()


def test_constant_outputs_cost_nothing() -> None:
    logits = torch.randn(2, 1, 1, 3).expand(2, 1, 6, 3)
    mask = torch.ones(2, 1, 6, dtype=torch.bool)
    assert l1(logits, mask) == truncated_mse(logits, mask) == 0


@pytest.mark.parametrize("kind", ["l1", "truncated_mse"])
def test_a_stack_of_models_pays_what_each_pays(kind: str) -> None:
    _, mask = given()
    stacked = torch.randn(3, 2, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    together = torch.func.vmap(torch.func.grad_and_value(lambda z: smoothness(kind, z, mask)))(stacked)  # type: ignore[arg-type]
    for index, logits in enumerate(stacked):
        logits.requires_grad_()
        alone = smoothness(kind, logits, mask)  # type: ignore[arg-type]
        torch.testing.assert_close(together[1][index], alone)
        torch.testing.assert_close(together[0][index], torch.autograd.grad(alone, logits)[0])
