"""Which blocks are done together, by the videos that they have."""

from __future__ import annotations

from collections import Counter

from fouls.pipeline.grouping import MAX_OVERHANGS, chain_blocks, group_blocks


def test_one_store_has_a_group_a_block() -> None:
    assert group_blocks([[[0, 1], [1, 2]]]) == [((0,),), ((1,),)]


def test_blocks_that_cover_the_same_videos_are_together() -> None:
    large, small = [range(8), range(8, 16)], [range(i, i + 2) for i in range(0, 16, 2)]
    expected = [((0,), (0, 1, 2, 3)), ((1,), (4, 5, 6, 7))]
    assert group_blocks([large, small]) == expected
    assert group_blocks([small, large]) == [(fine, coarse) for coarse, fine in expected]


def test_what_only_one_store_has_to_do_is_a_group_of_its_own() -> None:
    groups = group_blocks([[[0, 1], [2, 3], [6]], [[0, 1], [4, 5], [6]]])
    assert groups == [((0,), (0,)), ((1,), ()), ((), (1,)), ((2,), (2,))]


def test_blocks_whose_ends_never_meet_are_cut_now_and_then() -> None:
    three = [range(i, i + 3) for i in range(0, 300, 3)]
    five = [range(i + 1, i + 6) for i in range(0, 300, 5)]
    groups = group_blocks([three, five])
    counted = Counter((store, number) for group in groups for store, numbers in enumerate(group) for number in numbers)
    assert counted == {
        **dict.fromkeys([(0, b) for b in range(100)], 1),
        **dict.fromkeys([(1, b) for b in range(60)], 1),
    }
    videos = [three, five]
    decoded = [
        {v for store, numbers in enumerate(group) for n in numbers for v in videos[store][n]} for group in groups
    ]
    assert sum(map(len, decoded)) < 1.25 * 301
    for group in groups:
        assert sum(map(len, group)) <= 2 * MAX_OVERHANGS
        assert all(list(numbers) == sorted(numbers) for numbers in group)


def test_a_video_that_goes_on_in_the_next_block_keeps_them_together() -> None:
    assert group_blocks([[[0, 1], [1, 2]], [[0, 1, 2]]]) == [((0, 1), (0,))]


def test_a_store_does_not_come_back_to_a_video_in_one_group() -> None:
    """Its further passes were planned later: their pictures would wait until all of the plain ones are done."""
    first_and_more = [[0, 1, 2], [0, 1, 2]]
    assert group_blocks([first_and_more, [[0, 1, 2]]]) == [((0,), ()), ((1,), (0,))]


def test_a_stream_that_goes_on_is_a_chain() -> None:
    assert chain_blocks([[0, 1], [1], [1, 2], [3]]) == [((0, 1, 2),), ((3,),)]
    assert chain_blocks([]) == []


def test_a_chain_has_no_more_blocks_than_it_may() -> None:
    assert chain_blocks([[0], [0], [0], [0, 1], [1], [2]], 2) == [((0, 1),), ((2, 3),), ((4,),), ((5,),)]
