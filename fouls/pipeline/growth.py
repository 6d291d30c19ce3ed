"""More decoding processes where the backbone waits for frames: the trial may have seen lighter videos."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from fouls.video.isolation import IsolatedPool

IDLE_SHARE = 0.1
"""Of the time: a device that is idle for longer, while frames are waited for, gets more."""


class Growth:
    """Looks at what the last blocks have taken, and doubles the number of processes where they came too late.

    Args:
        pool: of the engine.
        most: processes; ``None``: the pool stays as it is.
        at_once: passes through the backbone whose seconds count side by side: of videos that stream.
        blocks: that are looked at together, more than are in work at a time. The first so many are left out, as are
            those after each growth: what began before says nothing.
        clock: seconds.
    """

    def __init__(
        self,
        pool: IsolatedPool,
        most: int | None,
        *,
        at_once: int,
        blocks: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pool = pool
        self._most = most
        self._at_once = at_once
        self._blocks = blocks
        self._clock = clock
        self._lock = threading.Lock()
        self._begin(steady=False)

    def _begin(self, *, steady: bool) -> None:
        self._steady = steady
        self._began = self._clock()
        self._noted: list[Mapping[str, float]] = []

    def note(self, seconds: Mapping[str, float]) -> None:
        """A block's seconds in ``wait`` (for frames) and ``forward``, once it is committed."""
        if self._most is None or self._pool.num_workers >= self._most:
            return
        with self._lock:
            self._noted.append(seconds)
            if len(self._noted) == self._blocks:
                self._begin(steady=not self._steady or not self._grown(self._most))

    def _grown(self, most: int) -> bool:
        passed = self._clock() - self._began
        busy, waited = (sum(seconds.get(part, 0.0) for seconds in self._noted) for part in ("forward", "wait"))
        idle = passed - busy / self._at_once
        if idle < IDLE_SHARE * passed or waited < idle:
            return False
        self._pool.grow(min(most, 2 * self._pool.num_workers))
        return True
