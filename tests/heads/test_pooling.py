"""Reductions under a mask, beside numpy on what the mask leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.heads.inputs import Standardise
from fouls.heads.pooling import TimePooling, ViewPool, pool_time


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
