"""Decoding processes are added where the device is idle for want of frames, and only there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fouls.pipeline.growth import Growth
from fouls.video.isolation import IsolatedPool
from tests.video import calls

from .conftest import Project


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(blocks: list[tuple[float, float, float]], *, most: int | None, at_once: int = 1) -> list[int]:
    """Processes after each block, of which (seconds passed, in the backbone, waited); two are looked at together."""
    clock, found = Clock(), []
    with IsolatedPool(2, 30.0) as pool:
        growth = Growth(pool, most, at_once=at_once, blocks=2, clock=clock)
        for passed, forward, wait in blocks:
            clock.now += passed
            growth.note({"forward": forward, "wait": wait})
            found.append(pool.num_workers)
    return found


STARVED = (1.0, 0.5, 0.7)


def test_a_device_that_waits_gets_twice_as_many_until_there_are_all() -> None:
    """The first two blocks are left out, and two after each growth."""
    assert run([STARVED] * 10, most=7) == [2, 2, 2, 4, 4, 4, 4, 7, 7, 7]


@pytest.mark.parametrize(
    "block",
    [
        (1.0, 0.95, 1.5),  # groups wait in turn, the device never
        (1.0, 0.5, 0.1),  # it is idle, but not for want of frames
    ],
)
def test_others_stay_as_they_are(block: tuple[float, float, float]) -> None:
    assert run([block] * 8, most=16) == [2] * 8


def test_later_videos_may_be_heavier() -> None:
    assert run([(1.0, 1.0, 0.0)] * 8 + [STARVED] * 2, most=16) == [2] * 9 + [4]


def test_a_number_that_was_asked_for_stays() -> None:
    assert run([STARVED] * 8, most=None) == [2] * 8


def test_streams_count_side_by_side() -> None:
    assert run([(1.0, 1.9, 0.3)] * 4, most=16, at_once=2) == [2] * 4
    assert run([(1.0, 1.0, 1.0)] * 4, most=16, at_once=2) == [2, 2, 2, 4]


def test_a_pool_that_has_grown_does_more_at_a_time() -> None:
    with IsolatedPool(1, 30.0) as pool:
        pool.grow(2)
        pool.grow(1)
        assert pool.num_workers == 2
        assert [pool.submit(calls.double, number).result() for number in range(4)] == [0, 2, 4, 6]
    pool.grow(3)
    assert pool.num_workers == 2


def test_the_engine_tells_of_every_block(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Mapping[str, float]] = []
    monkeypatch.setattr(Growth, "note", lambda self, seconds: noted.append(seconds))
    project.extract(block_rows=4)
    in_ledger = [record.seconds for record in project.store().ledger()]
    assert sorted(seconds["forward"] for seconds in noted) == sorted(seconds["forward"] for seconds in in_ledger)
    assert all({"wait", "forward"} <= seconds.keys() for seconds in noted)
    assert len(noted) == 3
