"""The average of weights beside a loop over numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fouls.heads.training.ema import Ema, decay_at


@pytest.mark.parametrize("warmup", [False, True])
def test_by_hand(warmup: bool) -> None:
    parameters = [torch.tensor([1.0, -2.0]), torch.tensor(5.0)]
    expected = [parameter.double().clone() for parameter in parameters]
    ema = Ema(parameters, 0.9, warmup=warmup)
    for step in range(200):
        for parameter in parameters:
            parameter += step % 7 - 2
        ema.update()
        decay = min(0.9, (1 + step) / (10 + step)) if warmup else 0.9
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, parameters, strict=True)]
    for average, value in zip(ema.averages, expected, strict=True):
        torch.testing.assert_close(average.double(), value, rtol=1e-5, atol=1e-5)


def test_decay_grows_to_its_value() -> None:
    assert decay_at(0, 0.999, warmup=True) == 0.1
    assert decay_at(90, 0.999, warmup=True) == 0.91
    assert decay_at(10**6, 0.999, warmup=True) == decay_at(0, 0.999, warmup=False) == 0.999


def test_swapped_in_for_a_moment() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = Ema(module.parameters(), 0.5, warmup=False)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.randn(8, 3)).square().sum().backward()  # moves the buffers too
    optimiser.step()
    ema.update()
    trained = {name: value.clone() for name, value in module.state_dict().items()}
    assert not torch.equal(trained["0.weight"], start["0.weight"])
    with ema.swapped_in():
        inside = module.state_dict()
        torch.testing.assert_close(inside["0.weight"], (start["0.weight"] + trained["0.weight"]) / 2)
        assert torch.equal(inside["1.running_mean"], trained["1.running_mean"])
    for name, value in module.state_dict().items():
        assert torch.equal(value, trained[name])
    ema.copy_to_parameters()
    torch.testing.assert_close(module[0].weight, (start["0.weight"] + trained["0.weight"]) / 2)


def test_the_weights_come_back_after_an_error() -> None:
    parameter = nn.Parameter(torch.ones(2))
    ema = Ema([parameter], 0.5)
    with torch.no_grad():
        parameter += 1
    with pytest.raises(ZeroDivisionError), ema.swapped_in():
        parameter / (1 / 0)
    assert parameter.tolist() == [2, 2]
    assert parameter.requires_grad
