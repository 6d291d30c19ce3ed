"""Runs blocks in this process: on the CPU, or on one GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from fouls.cache.ledger import BlockRecord
from fouls.pipeline.engine import BLOCKS_IN_FLIGHT, Engine
from fouls.pipeline.jobs import BlockJob


def run_here(engine: Engine, chains: Sequence[Sequence[BlockJob]]) -> Iterator[BlockRecord]:
    """Run chains of blocks on an engine, two at a time so that decoding and the backbone overlap.

    Yields:
        The record of each block, once its chain is committed. When the caller stops early, or a block raises, the
        blocks in flight end without a commit.
    """
    with ThreadPoolExecutor(BLOCKS_IN_FLIGHT, thread_name_prefix="block") as threads:
        futures = [threads.submit(engine.run_chain, chain) for chain in chains]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            engine.cancel()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
