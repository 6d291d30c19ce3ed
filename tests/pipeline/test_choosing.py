"""What is chosen from curves that are made up."""

from __future__ import annotations

import pytest
import torch

from fouls.pipeline.choosing import BatchChoice, choose_batch_size, choose_decode_workers

SIZES = (8, 16, 32, 64)


class Curve:
    """Clips a second by batch size; out of memory beyond them. Notes what is tried."""

    def __init__(self, rates: dict[int, float]) -> None:
        self.rates = rates
        self.tried: list[int] = []

    def __call__(self, size: int) -> float:
        self.tried.append(size)
        if size not in self.rates:
            raise torch.OutOfMemoryError
        return self.rates[size]


@pytest.mark.parametrize(
    ("rates", "tried", "chosen", "rate"),
    [
        ({8: 100, 16: 180, 32: 184, 64: 400}, [8, 16, 32], 16, 180),  # 2 % more is not worth it
        ({8: 100, 16: 180, 32: 200, 64: 209}, [8, 16, 32, 64], 64, 209),
        ({8: 100, 16: 90, 32: 500}, [8, 16], 8, 100),
        ({8: 100, 16: 180}, [8, 16, 32], 16, 180),  # out of memory
        ({2: 10, 1: 6}, [8, 4, 2], 2, 10),
        ({1: 6}, [8, 4, 2, 1], 1, 6),
    ],
)
def test_batches_grow_while_they_pay(rates: dict[int, float], tried: list[int], chosen: int, rate: float) -> None:
    curve = Curve(rates)
    found = choose_batch_size(SIZES, curve, default=32, time_for=lambda size: True)
    assert found == BatchChoice(batch_size=chosen, clips_per_second=rate)
    assert curve.tried == tried


def test_what_time_leaves_untried_is_the_default() -> None:
    rising = {8: 100.0, 16: 180.0, 32: 300.0, 64: 500.0}
    early = choose_batch_size(SIZES, Curve(rising), default=32, time_for=lambda size: size < 32)
    assert early == BatchChoice(batch_size=32, clips_per_second=None)
    late = choose_batch_size(SIZES, Curve(rising), default=16, time_for=lambda size: size < 64)
    assert late == BatchChoice(batch_size=32, clips_per_second=300.0)


def test_no_memory_for_one_clip_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        choose_batch_size(SIZES, Curve({}), default=32, time_for=lambda size: True)


@pytest.mark.parametrize(
    ("decode", "forward", "most", "workers"),
    [
        (0.038, 1.1, 64, 2),  # a slow backbone: one would do, the other is for when it hangs
        (0.038, 0.005, 15, 10),  # 1.25 × 7.6 = 9.5
        (0.04, 0.005, 15, 10),  # exactly
        (0.038, 0.001, 15, 15),
        (0.038, 1.1, 1, 1),
    ],
)
def test_decoding_is_a_quarter_faster_than_the_backbone(decode: float, forward: float, most: int, workers: int) -> None:
    assert choose_decode_workers(decode_seconds=decode, forward_seconds=forward, most=most) == workers
