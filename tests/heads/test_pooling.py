"""Reductions under a mask, beside numpy on what the mask leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.heads.inputs import Standardise
from fouls.heads.pooling import AttentionPool, TimePooling, ViewPool, average_probabilities, pool_time


@pytest.fixture
def ragged() -> tuple[torch.Tensor, torch.Tensor]:
    """x (3, 5, 4) of which 5, 2 and 1 steps are there; NaN elsewhere."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 4, generator=generator)
    mask = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
    return x.masked_fill(~mask[..., None], torch.nan), mask


@pytest.mark.parametrize("kind", ["mean", "std", "mean_std", "max"])
def test_time_pooling_sees_only_what_is_there(kind: TimePooling, ragged: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, mask = ragged
    pooled = pool_time(x, mask, kind).numpy()
    for row, steps in enumerate((5, 2, 1)):
        there = x[row, :steps].numpy()
        parts = {"mean": [there.mean(0)], "std": [there.std(0)], "max": [there.max(0)]}
        parts["mean_std"] = parts["mean"] + parts["std"]
        np.testing.assert_allclose(pooled[row], np.concatenate(parts[kind]), atol=1e-6)


def test_spread_has_a_finite_gradient_where_nothing_changes() -> None:
    x = torch.ones(1, 3, 2, requires_grad=True)
    pool_time(x, torch.ones(1, 3, dtype=torch.bool), "std").sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_attention_weighs_with_a_softmax_over_the_views_that_are_there(
    ragged: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, mask = ragged
    pool = ViewPool(4, "attention")
    assert pool.attention is not None
    pooled = pool(x, mask).detach()
    for row, views in enumerate((5, 2, 1)):
        there = x[row, :views]
        weights = pool.attention.score(there)[:, 0].softmax(dim=0).detach()
        torch.testing.assert_close(pooled[row], (weights[:, None] * there).sum(dim=0))


def test_standardise_is_numpys_mean_and_std_over_all_steps(ragged: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, mask = ragged
    x, shift = x + 1000, x[mask].numpy() + 1000.0
    x[..., 3] = 7.0  # constant: it is only moved
    shift[:, 3] = 7.0
    layer = Standardise(4)
    layer.fit([(x[:1], mask[:1]), (x[1:], mask[1:])])
    np.testing.assert_allclose(layer.mean.numpy(), shift.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.std.numpy()[:3], shift.std(0)[:3], rtol=1e-4)
    assert layer.std[3] == 1
    scaled = layer(x, mask)
    assert (scaled[~mask] == 0).all()
    np.testing.assert_allclose(scaled[mask].mean(0).numpy(), 0, atol=1e-3)


def test_a_low_temperature_takes_the_best() -> None:
    pool = AttentionPool(4, temperature=1e-3)
    x, mask = torch.randn(3, 5, 4), torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    pooled, weights = pool(x, mask)
    best = pool.score(x)[..., 0].masked_fill(~mask, -torch.inf).argmax(dim=1)
    torch.testing.assert_close(weights, torch.nn.functional.one_hot(best, 5).float(), rtol=0, atol=1e-3)
    torch.testing.assert_close(pooled, x[torch.arange(3), best], rtol=0, atol=1e-2)


@pytest.mark.parametrize("multi_label", [False, True])
def test_probabilities_are_averaged_not_logits(multi_label: bool, ragged: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, mask = ragged
    logits = 4 * x.nan_to_num(1e4)  # what is not there says something, loudly
    averaged = average_probabilities(logits, mask, multi_label=multi_label)
    for row, views in enumerate((5, 2, 1)):
        there = logits[row, :views].double().numpy()
        odds = np.exp(there)
        shares = odds / (1 + odds) if multi_label else odds / odds.sum(axis=1, keepdims=True)
        ours = averaged[row].sigmoid() if multi_label else averaged[row].softmax(dim=0)
        np.testing.assert_allclose(ours.numpy(), shares.mean(axis=0), rtol=1e-5)
    torch.testing.assert_close(averaged[2], logits[2, 0], rtol=1e-5, atol=1e-5)  # one track keeps its logits


def test_averages_stay_finite_where_a_probability_is_0() -> None:
    logits = torch.tensor([[[300.0, -300.0], [-300.0, 300.0]]], requires_grad=True)
    for multi_label in (False, True):
        averaged = average_probabilities(logits, torch.ones(1, 2, dtype=torch.bool), multi_label=multi_label)
        torch.testing.assert_close(averaged[0, 0], averaged[0, 1])
        (gradient,) = torch.autograd.grad(averaged[0, 0], logits)
        assert gradient.isfinite().all()
