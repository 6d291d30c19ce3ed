"""Clipping within the optimiser's step beside clipping before it."""

from __future__ import annotations

import copy

import torch
from torch import nn

from fouls.heads.training.clipping import clip_in_step


def test_a_step_is_that_of_gradients_clipped_before() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(40, 30), nn.LayerNorm(30), nn.Linear(30, 2))
    theirs = copy.deepcopy(ours)
    optimiser, plain = (torch.optim.AdamW(module.parameters(), lr=0.1, fused=True) for module in (ours, theirs))
    for step in range(6):  # gradients of very different size: some are cut, some are not
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn_like(one) * 10.0 ** (step % 3 - 3)
            other.grad = one.grad.clone()
        clip_in_step(optimiser, ours.parameters(), 0.5)
        optimiser.step()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        plain.step()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([used, unused], lr=0.1, fused=True)
    used.grad = torch.tensor([3.0, 0.0, 4.0])
    clip_in_step(optimiser, [used, unused], 1.0)
    optimiser.step()
    assert (unused == 1).all()
    assert used[0] < 1
