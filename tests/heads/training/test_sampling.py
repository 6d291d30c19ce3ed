"""The samples of an epoch: how likely each is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from fouls.heads.training.sampling import Sampling, draw_weights, epoch_order


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


LABELS = torch.tensor([0] * 60 + [1] * 30 + [3] * 10 + [-1] * 20)[torch.randperm(120, generator=generator())]


def test_shuffle_shows_each_once() -> None:
    order = epoch_order(LABELS, "shuffle", generator())
    assert sorted(order.tolist()) == list(range(120))
    assert torch.equal(order, torch.randperm(120, generator=generator()))


@pytest.mark.parametrize(("kind", "power"), [("balanced", 0.0), ("sqrt", 0.5)])
def test_how_likely_each_class_is(kind: Sampling, power: float) -> None:
    assert kind != "shuffle"
    weights = draw_weights(LABELS, kind).numpy()
    wanted = np.array([60, 30, 10]) ** power
    wanted = np.append(wanted / wanted.sum() * 100, 20) / 120  # the unlabelled keep their share
    classes = [torch.nonzero(label == LABELS)[:, 0] for label in (0, 1, 3, -1)]
    of_classes = [weights[members].sum() for members in classes]
    np.testing.assert_allclose(of_classes, wanted, rtol=1e-12)
    assert all(len(np.unique(weights[members])) == 1 for members in classes)
    orders = [epoch_order(LABELS, kind, draw) for draw in [generator()] for _ in range(50)]
    assert all(len(order) == 120 for order in orders)
    drawn = LABELS[torch.cat(orders)]
    counts = [int((drawn == label).sum()) for label in (0, 1, 3, -1)]
    assert stats.chisquare(counts, wanted * 6000).pvalue > 0.01
    assert len(orders[0].unique()) < 120  # with replacement


@pytest.mark.parametrize("kind", ["shuffle", "balanced", "sqrt"])
def test_a_seed_repeats(kind: Sampling) -> None:
    assert torch.equal(epoch_order(LABELS, kind, generator()), epoch_order(LABELS, kind, generator()))


def test_without_labels_all_are_alike() -> None:
    np.testing.assert_allclose(draw_weights(torch.full((5,), -1), "balanced"), [0.2] * 5)
