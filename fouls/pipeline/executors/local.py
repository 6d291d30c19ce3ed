"""Runs blocks in this process: on the CPU, or on one GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from fouls.pipeline.engine import GROUPS_IN_FLIGHT, DoneBlock, Engine
from fouls.pipeline.grouping import BlockGroup


def run_here(engine: Engine, groups: Sequence[BlockGroup]) -> Iterator[DoneBlock]:
    """Run groups of blocks on an engine, two at a time so that decoding and the backbone overlap.

    Yields:
        Each block, once its group is committed. When the caller stops early, or a block raises, the blocks in flight
        end without a commit.
    """
    with ThreadPoolExecutor(GROUPS_IN_FLIGHT, thread_name_prefix="block") as threads:
        futures = [threads.submit(engine.run, group) for group in groups]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            engine.cancel()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
