"""The loss of keypoints beside a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.heads.losses.keypoints import keypoint_loss


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_by_hand_over_what_is_visible(beta: float) -> None:
    rng = np.random.default_rng(5)
    predicted, truth = rng.random((4, 3, 2)), rng.random((4, 3, 2)) * 3
    visible = rng.random((4, 3)) < 0.6
    costs = []
    for difference in np.abs(predicted - truth)[visible].flatten():
        costs.append(difference**2 / (2 * beta) if difference < beta else difference - beta / 2)  # noqa: PERF401
    loss = keypoint_loss(*map(torch.from_numpy, (predicted, truth, visible)), beta=beta)
    assert loss.item() == pytest.approx(np.mean(costs), rel=1e-12)


def test_what_is_hidden_changes_nothing() -> None:
    visible = torch.tensor([[True, False], [False, False]])
    predicted = torch.full((2, 2, 2), 0.5).masked_fill(~visible[..., None], torch.nan).requires_grad_()
    truth = torch.full((2, 2, 2), 0.25).masked_fill(~visible[..., None], torch.nan)
    loss = keypoint_loss(predicted, truth, visible)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.25**2 / 2
    assert predicted.grad is not None
    assert (predicted.grad[~visible] == 0).all()
    assert (predicted.grad[visible] == 0.125).all()


def test_nothing_visible_costs_nothing() -> None:
    for shape in ((0, 2), (3, 2)):
        predicted = torch.rand(*shape, 2, requires_grad=True)
        loss = keypoint_loss(predicted, torch.full((*shape, 2), torch.nan), torch.zeros(shape, dtype=torch.bool))
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss == 0
        assert predicted.grad is not None
        assert (predicted.grad == 0).all()


def test_a_stack_of_models_pays_what_each_pays() -> None:
    draw = torch.Generator().manual_seed(0)
    stacked, truth = torch.rand(3, 4, 5, 2, generator=draw), torch.rand(4, 5, 2, generator=draw)
    visible = truth[..., 0] < 0.5
    together = torch.func.vmap(lambda predicted: keypoint_loss(predicted, truth, visible))(stacked)
    torch.testing.assert_close(together, torch.stack([keypoint_loss(each, truth, visible) for each in stacked]))
