"""Which blocks of a stream net's store are done together: where a group begins in a video, its beginning is gone
through again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fouls.pipeline.grouping import GroupPlan, chain_blocks
from fouls.pipeline.work import Work

SHARES_AGAIN = (0.03, 0.1, 0.3)
"""Rows gone through again by the rows of a group, at most; the first with which there are groups enough."""
GROUPS_A_STREAM = 2
"""So that no thread is long without one at the end."""


def group_streams(work: Work, streams: int) -> list[GroupPlan]:
    """Put the blocks of a video together, and as few others as leaves work for every thread.

    Args:
        work: of a stream net's store.
        streams: videos that go through the net side by side, in all engines together.
    """
    chains = [chain for (chain,) in chain_blocks([work.videos(number) for number in range(len(work))])]
    rows = np.diff(work.edges).tolist()
    firsts = work.rows["clip"].take(work.edges[:-1]).to_pylist()  # rows of that video before the block
    parts: list[tuple[int, ...]] = []
    for share in SHARES_AGAIN:
        parts = [part for chain in chains for part in cut_chain(chain, rows, firsts, share)]
        if len(parts) >= GROUPS_A_STREAM * streams:
            break
    return [(part,) for part in parts]


def cut_chain(chain: Sequence[int], rows: Sequence[int], again: Sequence[int], share: float) -> list[tuple[int, ...]]:
    """Cut a chain before every block that costs little to begin with.

    Args:
        chain: blocks that go on with each other's videos, as places in the other two.
        rows: of each block.
        again: of each block the rows that are gone through again where a group begins with it.
        share: of the rows since the last cut, that may be gone through again for the next one.
    """
    parts: list[list[int]] = [[]]
    since = 0
    for block in chain:
        if parts[-1] and again[block] <= share * since:
            parts.append([])
            since = 0
        parts[-1].append(block)
        since += rows[block]
    return [tuple(part) for part in parts]
