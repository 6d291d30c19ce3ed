"""How much is measured in the time that there is; seconds are added up by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fouls.pipeline.benchmark.effort import Effort, Machine, choose_effort
from fouls.pipeline.trial import Calibration

CPU = Machine(on_gpu=False, cores=2, decode_workers=1)
SLOW = Calibration(read_seconds=0.02, preprocess_seconds=0.02, forward_seconds=1.0)
"""A clip of it takes 40 ms to decode and 1 s to encode."""


def choose(seconds: float, machine: Machine = CPU, trial: Calibration = SLOW, **changes: Any) -> Effort:
    return choose_effort(
        trial,
        machine,
        **({"seconds": seconds, "batch_size": 4, "rows_a_video": 1.0, "num_videos": 1000} | changes),
    )


def cpu_seconds(clips: int, repeats: int) -> float:
    """Decoding once more than the others; a batch of 4 alone; the whole, where decoding has both cores."""
    return (repeats + 1) * clips * 0.04 + repeats * (4 * 1.0 + clips * (1.0 + 0.02))


@pytest.mark.parametrize(
    ("seconds", "batches", "repeats"), [(1e4, 64, 5), (110, 4, 5), (105, 4, 3), (61, 2, 3), (20, 2, 1), (0.1, 2, 1)]
)
def test_as_much_as_fits(seconds: float, batches: int, repeats: int) -> None:
    found = choose(seconds)
    assert (found.num_videos, found.repeats) == (4 * batches, repeats)
    assert found.seconds == pytest.approx(cpu_seconds(4 * batches, repeats))


def test_what_is_asked_for_is_measured() -> None:
    exactly = choose(1.0, num_videos=7, exactly=True)
    assert (exactly.num_videos, exactly.repeats) == (7, 1)
    both = choose(1.0, num_videos=7, exactly=True, repeats=9)
    assert (both.num_videos, both.repeats, both.seconds) == (7, 9, pytest.approx(cpu_seconds(7, 9)))
    assert choose(1.0, repeats=2).num_videos == 8
    assert choose(1e4, num_videos=5).num_videos == 5
    assert choose(1e4, rows_a_video=50).num_videos == 5  # 256 clips


def test_on_a_gpu_the_slower_of_two_stages_counts() -> None:
    machine = Machine(on_gpu=True, cores=16, decode_workers=10)
    found = choose(1e9, machine, Calibration(read_seconds=0.3, preprocess_seconds=0.1, forward_seconds=0.001))
    assert found.seconds == pytest.approx(6 * 256 * 0.04 + 5 * (4 * 0.001 + 256 * 0.04))
