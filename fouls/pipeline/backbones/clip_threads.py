"""Clips side by side on a CPU: one a thread, instead of all threads on one operation after the other.

Threads that share an operation wait for each other at its end, thousands of times a clip; where another process (one
that decodes, say) holds one of the cores for a moment, all of them wait. Threads with a clip each never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

_all_threads = threading.Lock()
"""Held by what has all of torch's threads to itself."""


def for_each_clip(compute: Callable[[Tensor], T], clips: Tensor) -> list[T]:
    """Apply a function to every clip alone, on as many of torch's threads as there are.

    What comes of a clip does not depend on the clips beside it. The clips of callers in several threads queue. A single
    clip has all of torch's threads, and the next single one waits.

    Args:
        compute: (1, …) → anything; it must not change what it shares with other clips.
        clips: (B, …), on the CPU.
    """
    pieces: Sequence[Tensor] = torch.split(clips, 1)
    num_threads = torch.get_num_threads()
    workers = min(len(pieces), num_threads)
    if workers < 2:
        with _all_threads:
            return [compute(piece) for piece in pieces]

    @torch.inference_mode()  # each thread has a mode of its own
    def run(piece: Tensor) -> T:
        return compute(piece)

    with _all_threads:  # two callers at once would make them twice
        threads = _threads(workers, num_threads // workers)
    return list(threads.map(run, pieces))


def on_one_thread(compute: Callable[[], T]) -> T:
    """Compute something on one of torch's threads, beside the clips and whatever else of other callers is there.

    What comes of it does not depend on how many threads there are.
    """
    num_threads = torch.get_num_threads()
    if num_threads < 2:
        return compute()
    with _all_threads:
        threads = _threads(num_threads, 1)
    return threads.submit(compute).result()


@cache
def _threads(workers: int, threads_each: int) -> ThreadPoolExecutor:
    """Threads on which torch's operations use so many threads each; they wait until the end of the process."""
    num_threads = torch.get_num_threads()
    ready = threading.Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # torch sets a thread to the number of all when it first asks, so let it ask now
        torch.set_num_threads(threads_each)
        ready.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="clips", initializer=begin)
    for _ in range(workers):
        pool.submit(int)  # starts a thread as long as all that there are are busy
    ready.wait()
    torch.set_num_threads(num_threads)  # what threads begun later take over is set by whoever set it last
    return pool
