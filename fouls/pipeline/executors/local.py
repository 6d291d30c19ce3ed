"""Runs blocks in this process: on the CPU, or on one GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from fouls.pipeline.engine import DoneBlock, Engine
from fouls.pipeline.grouping import BlockGroup

READY = 1
"""Groups that wait for a thread: their jobs are made before one is free."""


def run_here(engine: Engine, groups: Iterable[BlockGroup]) -> Iterator[DoneBlock]:
    """Run groups of blocks on an engine, several at a time so that decoding, the backbone and writing overlap.

    Yields:
        Each block, once its group is committed. When the caller stops early, or a block raises, the blocks in flight
        end without a commit.
    """
    with ThreadPoolExecutor(engine.groups_in_flight, thread_name_prefix="block") as threads:
        waiting = iter(groups)
        running: set[Future[list[DoneBlock]]] = set()
        try:
            while True:
                free = engine.groups_in_flight + READY - len(running)
                running.update(threads.submit(engine.run, group) for group in islice(waiting, free))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BaseException:
            engine.cancel()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
