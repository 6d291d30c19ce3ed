"""How many clips are measured, and how often, so that the answer comes in good time."""

from __future__ import annotations

from dataclasses import dataclass

from fouls.pipeline.benchmark.limit import least_seconds
from fouls.pipeline.trial import Calibration

EFFORTS = ((5, 64), (5, 32), (5, 16), (5, 8), (5, 4), (3, 4), (3, 2), (1, 2))
"""Repeats and batches, the first that fits into the time; the last in any case."""
MAX_BATCHES = max(batches for _, batches in EFFORTS)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What is measured."""

    num_videos: int
    repeats: int
    seconds: float
    """How long it will take, about."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the stages run on."""

    on_gpu: bool
    cores: int
    decode_workers: int


def choose_effort(
    trial: Calibration,
    machine: Machine,
    *,
    seconds: float,
    batch_size: int,
    rows_a_video: float,
    num_videos: int,
    repeats: int | None = None,
    exactly: bool = False,
) -> Effort:
    """Take as many clips and repeats as the time allows.

    Args:
        trial: what a clip costs.
        machine: where.
        seconds: that it may take.
        batch_size: clips in a forward pass.
        rows_a_video: clips that a video has.
        num_videos: videos that there are.
        repeats: that were asked for; ``None``: as fits.
        exactly: whether all those videos were asked for.
    """
    found: list[Effort] = []
    for times, batches in EFFORTS:
        videos = num_videos if exactly else min(num_videos, max(1, round(batches * batch_size / rows_a_video)))
        times = repeats or times
        takes = _seconds(trial, machine, times, videos * rows_a_video, batch_size)
        found.append(Effort(num_videos=videos, repeats=times, seconds=takes))
        if takes <= seconds:
            break
    return found[-1]


def _seconds(trial: Calibration, machine: Machine, repeats: int, clips: float, batch_size: int) -> float:
    """Of decoding alone, once more for a start, of forward passes alone, and of the whole."""
    decoding = clips * (trial.read_seconds + trial.preprocess_seconds) / machine.decode_workers
    forward = clips * trial.forward_seconds
    shared = decoding if machine.on_gpu else decoding * machine.decode_workers / machine.cores
    whole = least_seconds(forward=forward, decoding=shared, on_gpu=machine.on_gpu)
    return (repeats + 1) * decoding + repeats * (batch_size * trial.forward_seconds + whole)
