"""Blocks of a stream net's store are cut into groups where little of a video is gone through again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fouls.pipeline.stream_groups import cut_chain, group_streams
from fouls.pipeline.work import Work


def work(rows_of_videos: list[int], block_rows: int) -> Work:
    """All rows of some videos, to do."""
    places = np.repeat(np.arange(len(rows_of_videos)), rows_of_videos)
    clips = np.concatenate([np.arange(rows) for rows in rows_of_videos])
    edges = np.append(np.arange(0, len(places), block_rows), len(places))
    rows = pa.table({"clip": pa.array(clips, pa.int32())})
    return Work(rows=rows, places=places, edges=edges, block_rows=block_rows, manifest=rows, ledger={}, orphans=0)


@pytest.mark.parametrize(
    ("again", "share", "parts"),
    [
        ([0, 5, 9, 1, 5], 0.1, [(0, 1, 2), (3, 4)]),  # 1 of the 30 rows before
        ([0, 5, 9, 1, 5], 0.5, [(0,), (1, 2), (3,), (4,)]),
        ([0, 5, 9, 1, 5], 0.0, [(0, 1, 2, 3, 4)]),
        ([7, 10, 20, 30, 40], 0.3, [(0, 1, 2, 3, 4)]),  # one video, begun before
    ],
)
def test_a_chain_is_cut_where_that_costs_little(again: list[int], share: float, parts: list[tuple[int, ...]]) -> None:
    assert cut_chain(range(5), [10] * 5, again, share) == parts


def test_long_videos_are_a_group_each() -> None:
    """Blocks of 10: the first group goes on to the block that the second video begins in."""
    groups = group_streams(work([995, 1000, 1000], 10), streams=1)
    assert [(len(blocks), blocks[0]) for (blocks,) in groups] == [(100, 0), (100, 100), (100, 200)]


def test_short_videos_are_cut_more_often_where_there_are_more_streams() -> None:
    """31 rows each, 64 a block: nearly every block begins in the middle of a video."""
    short = work([31] * 200, 64)
    counts = [len(group_streams(short, streams)) for streams in (1, 4, 32)]
    again = [[blocks[0] * 64 % 31 for (blocks,) in group_streams(short, streams)] for streams in (1, 32)]
    assert 2 <= counts[0] < counts[1] < counts[2]
    assert sum(again[0]) <= 0.03 * 6200
    assert sum(again[1]) <= 0.3 * 6200
    for streams in (1, 4, 32):
        assert [number for (blocks,) in group_streams(short, streams) for number in blocks] == list(range(len(short)))


def test_videos_that_share_no_block_are_groups() -> None:
    assert group_streams(work([20, 20, 20], 20), streams=8) == [((0,),), ((1,),), ((2,),)]
