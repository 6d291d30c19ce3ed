"""The exponential moving average of weights, which often does better than the last weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """The average of some parameters; buffers are not averaged: those of the module stand beside the average too.

    It reads the parameters that it was given, so it serves a module and a stack of models alike.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float, *, warmup: bool = True) -> None:
        """Start from the parameters as they are.

        Args:
            parameters: the live ones, which the optimiser changes in place.
            decay: d in average ← d · average + (1 − d) · parameter, such as 0.999.
            warmup: see :func:`decay_at`.
        """
        self.parameters = list(parameters)
        self.averages = [parameter.detach().clone() for parameter in self.parameters]
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0

    def update(self) -> None:
        """Take the parameters into the average; to be called after every step of the optimiser."""
        decay = decay_at(self.num_updates, self.decay, warmup=self.warmup)
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(self.averages, [parameter.detach() for parameter in self.parameters], self.num_updates)
        self.num_updates += 1

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the parameters hold the average; afterwards they are again what they were."""
        current = [parameter.detach().clone() for parameter in self.parameters]
        self.copy_to_parameters()
        try:
            yield
        finally:
            _copy(current, self.parameters)

    def copy_to_parameters(self) -> None:
        """Give the parameters the values of the average."""
        _copy(self.averages, self.parameters)


def decay_at(num_updates: int, decay: float, *, warmup: bool) -> float:
    """The decay after n updates; with warm-up min(decay, (1 + n) / (10 + n)): the first weights are soon forgotten.

    Source: TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
    """
    return min(decay, (1 + num_updates) / (10 + num_updates)) if warmup else decay


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
