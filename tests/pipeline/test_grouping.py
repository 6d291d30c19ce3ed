"""Which blocks are done together, on blocks without files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from fouls.pipeline.grouping import MAX_OVERHANGS, BlockGroup, chain_blocks, group_blocks
from fouls.pipeline.jobs import BlockJob, ClipJob, VideoFile, VideoJob


def block(number: int, videos: Iterable[int], *, unplannable: Iterable[int] = ()) -> BlockJob:
    files = [VideoFile(video_id=f"v{v}", path="", size_bytes=None, modified_ns=None, content_hash=None) for v in videos]
    clip = ClipJob(row=0, crop=0, indices=np.zeros(1, dtype=np.int32))
    return BlockJob(
        block=number,
        videos=tuple(VideoJob(file=file, clips=(clip,)) for file in files),
        unplannable=tuple((0, f"v{v}", "unreadable: torn") for v in unplannable),
        record=None,
    )


def blocks_of(*videos: Iterable[int]) -> list[BlockJob]:
    return [block(number, those) for number, those in enumerate(videos)]


def shape(groups: list[BlockGroup]) -> list[tuple[list[int], ...]]:
    """Block numbers by store, of each group."""
    return [tuple([job.block for job in blocks] for blocks in group.blocks) for group in groups]


ORDER = {f"v{number}": number for number in range(1000)}


def test_one_store_has_a_group_a_block() -> None:
    assert shape(group_blocks([blocks_of([0, 1], [1, 2])], ORDER)) == [([0],), ([1],)]


def test_blocks_that_cover_the_same_videos_are_together() -> None:
    large, small = blocks_of(range(8), range(8, 16)), blocks_of(*(range(i, i + 2) for i in range(0, 16, 2)))
    expected = [([0], [0, 1, 2, 3]), ([1], [4, 5, 6, 7])]
    assert shape(group_blocks([large, small], ORDER)) == expected
    assert shape(group_blocks([small, large], ORDER)) == [(fine, coarse) for coarse, fine in expected]


def test_what_only_one_store_has_to_do_is_a_group_of_its_own() -> None:
    groups = group_blocks([blocks_of([0, 1], [2, 3], [6]), blocks_of([0, 1], [4, 5], [6])], ORDER)
    assert shape(groups) == [([0], [0]), ([1], []), ([], [1]), ([2], [2])]
    assert len({group.name for group in groups}) == 4


def test_blocks_whose_ends_never_meet_are_cut_now_and_then() -> None:
    three = blocks_of(*(range(i, i + 3) for i in range(0, 300, 3)))
    five = blocks_of(*(range(i + 1, i + 6) for i in range(0, 300, 5)))
    groups = group_blocks([three, five], ORDER)
    counted = Counter((store, job.block) for group in groups for store, jobs in enumerate(group.blocks) for job in jobs)
    assert counted == {
        **dict.fromkeys([(0, b) for b in range(100)], 1),
        **dict.fromkeys([(1, b) for b in range(60)], 1),
    }
    decoded = sum(len({v.file.video_id for jobs in g.blocks for job in jobs for v in job.videos}) for g in groups)
    assert decoded < 1.25 * 301
    for group in groups:
        assert sum(map(len, group.blocks)) <= 2 * MAX_OVERHANGS
        assert all(list(jobs) == sorted(jobs, key=lambda job: job.block) for jobs in group.blocks)


def test_a_video_that_goes_on_in_the_next_block_keeps_them_together() -> None:
    assert shape(group_blocks([blocks_of([0, 1], [1, 2]), blocks_of([0, 1, 2])], ORDER)) == [([0, 1], [0])]


def test_a_store_does_not_come_back_to_a_video_in_one_group() -> None:
    """Its further passes were planned later: their pictures would wait until all of the plain ones are done."""
    first_and_more = blocks_of([0, 1, 2], [0, 1, 2])
    assert shape(group_blocks([first_and_more, blocks_of([0, 1, 2])], ORDER)) == [([0], []), ([1], [0])]


def test_blocks_that_can_only_fail_are_in_a_group_too() -> None:
    one, other = [block(0, [0, 2], unplannable=[1])], [block(0, [], unplannable=[1]), block(1, [2])]
    assert shape(group_blocks([one, other], ORDER)) == [([0], [0, 1])]


def test_a_stream_that_goes_on_is_a_chain() -> None:
    assert shape(chain_blocks(blocks_of([0, 1], [1], [1, 2], [3]))) == [([0, 1, 2],), ([3],)]
    assert chain_blocks([]) == []
