"""The learning rate beside torch's schedulers and the ends of each curve."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from fouls.heads.training.schedule import Schedule, learning_rate_factor


@pytest.mark.parametrize("kind", get_args(Schedule))
def test_warm_up(kind: Schedule) -> None:
    factors = [learning_rate_factor(step, warmup_steps=4, total_steps=20, kind=kind) for step in range(5)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def torchs(kind: Schedule, floor: float) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if kind == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10, eta_min=floor)
    else:
        end = floor if kind == "linear" else 1.0
        scheduler = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, end_factor=end, total_iters=10)
    factors = []
    for _ in range(11):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize("floor", [0.0, 0.1])
@pytest.mark.parametrize("kind", get_args(Schedule))
def test_the_curves_are_torchs(kind: Schedule, floor: float) -> None:
    factors = [
        learning_rate_factor(step, warmup_steps=3, total_steps=13, kind=kind, floor=floor) for step in range(3, 14)
    ]
    assert factors == pytest.approx(torchs(kind, floor), abs=1e-12)


@pytest.mark.parametrize("kind", get_args(Schedule))
def test_nothing_but_warm_up_or_none_at_all(kind: Schedule) -> None:
    assert learning_rate_factor(0, warmup_steps=0, total_steps=1, kind=kind) == 1
    assert learning_rate_factor(9, warmup_steps=9.5, total_steps=5, kind=kind) == pytest.approx(10 / 10.5)
    assert 0 <= learning_rate_factor(50, warmup_steps=0.5, total_steps=5, kind=kind, floor=0.2) <= 1
