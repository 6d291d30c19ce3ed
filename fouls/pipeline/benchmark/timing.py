"""What was measured, several times, and its spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from fouls.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the same clips took, each time."""

    num_clips: int
    seconds: tuple[float, ...]

    @property
    def seconds_a_clip(self) -> float:
        """The median."""
        return statistics.median(self.seconds) / self.num_clips

    @property
    def clips_per_second(self) -> float:
        """The median."""
        return 1 / self.seconds_a_clip

    @property
    def slowest(self) -> float:
        """Clips a second."""
        return self.num_clips / max(self.seconds)

    @property
    def fastest(self) -> float:
        """Clips a second."""
        return self.num_clips / min(self.seconds)

    def to_dict(self) -> dict[str, float]:
        """As JSON types."""
        return {
            "clips_per_second": self.clips_per_second,
            "slowest": self.slowest,
            "fastest": self.fastest,
            "seconds_a_clip": self.seconds_a_clip,
        }


def repeat(work: Callable[[], object], *, num_clips: int, repeats: int, warm_up: bool = True) -> Timing:
    """Do some work again and again.

    Args:
        work: what is timed.
        num_clips: clips that it does.
        repeats: how often it is timed.
        warm_up: do it once before, for whatever only the first time needs.

    Raises:
        ConfigError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}; it must be 1 or more")
    if warm_up:
        work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Timing(num_clips=num_clips, seconds=tuple(seconds))
