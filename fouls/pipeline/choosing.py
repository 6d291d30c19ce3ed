"""Batch size and number of decoding processes, chosen from what was measured. What is measured is in :mod:`.tuning`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

LEAST_GAIN = 1.04
"""A larger batch that is not faster by so much is not taken: it costs memory, and a block has room for few of it."""
LEAD = 1.25
"""Decoding is to be so much faster than the forward pass: videos differ."""
LEAST_WORKERS = 2
"""One may hang in a broken file until its time is over; another goes on meanwhile."""


@dataclass(frozen=True, kw_only=True)
class BatchChoice:
    """A batch size, and what is known of it."""

    batch_size: int
    clips_per_second: float | None
    """Of the forward pass with it; ``None`` where it was not tried."""


def choose_batch_size(
    sizes: Sequence[int], measure: Callable[[int], float], *, default: int, time_for: Callable[[int], bool]
) -> BatchChoice:
    """Try growing batches for as long as they pay.

    Args:
        sizes: ascending, at least one; the first is tried in any case.
        measure: clips a second in batches of a size. It raises ``torch.OutOfMemoryError`` where there is no memory.
        default: what is taken where time is over while larger batches still pay, unless a larger one was tried.
        time_for: whether a size may still be tried.

    Raises:
        torch.OutOfMemoryError: there is no memory for a single clip.
    """
    best = _first_that_fits(sizes[0], measure)
    if best.batch_size < sizes[0]:
        return best
    for size in sizes[1:]:
        if not time_for(size):
            return best if best.batch_size >= default else BatchChoice(batch_size=default, clips_per_second=None)
        try:
            rate = measure(size)
        except torch.OutOfMemoryError:
            return best
        if best.clips_per_second is not None and rate < LEAST_GAIN * best.clips_per_second:
            return best
        best = BatchChoice(batch_size=size, clips_per_second=rate)
    return best


def _first_that_fits(size: int, measure: Callable[[int], float]) -> BatchChoice:
    while True:
        try:
            return BatchChoice(batch_size=size, clips_per_second=measure(size))
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        size //= 2


def choose_decode_workers(*, decode_seconds: float, forward_seconds: float, most: int) -> int:
    """Processes that decode :data:`LEAD` times as fast as the backbone computes.

    Args:
        decode_seconds: of one process, decoding and preprocessing.
        forward_seconds: for the same clips.
        most: as many as there may be.
    """
    return min(most, max(LEAST_WORKERS, math.ceil(LEAD * decode_seconds / forward_seconds)))
