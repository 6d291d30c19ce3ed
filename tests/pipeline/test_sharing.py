"""How a group's work is divided into decoding tasks."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec
from fouls.pipeline.batches import max_pictures, num_pictures
from fouls.pipeline.grouping import BlockGroup
from fouls.pipeline.jobs import BlockJob, ClipJob, VideoFile, VideoJob
from fouls.pipeline.sharing import divide_group
from tests.cache.conftest import make_spec


def spec(num_frames: int, size: int) -> Spec:
    preprocessing = PreprocessingSpec(resize_to=size, crop=size, antialias=True, mean=(0, 0, 0), std=(1, 1, 1))
    return make_spec(sampling=SamplingSpec(num_frames=num_frames), preprocessing=preprocessing)


SMALL, LARGE = spec(16, 224), spec(64, 448)
"""2.4 MB and 38.5 MB a row: 1783 and 445 pictures, 111 and 6 rows that share none, a decoding task."""


def video(name: str, rows: range, *, frames: int = 1, hop: int = 1) -> VideoJob:
    """A row has so many frames, and begins ``hop`` frames after the one before."""
    file = VideoFile(video_id=name, path=name, size_bytes=None, modified_ns=None, content_hash=None)
    steps = np.arange(frames, dtype=np.int32)
    clips = tuple(ClipJob(row=row, crop=0, indices=steps + row * hop) for row in rows)
    return VideoJob(file=file, clips=clips)


def block(number: int, *videos: VideoJob) -> BlockJob:
    return BlockJob(block=number, videos=videos, unplannable=(), record=None)


def test_a_video_that_fits_is_one_piece_with_all_stores_and_blocks() -> None:
    group = BlockGroup(
        blocks=(
            (block(0, video("a", range(3)), video("b", range(3, 5))), block(1, video("b", range(5, 6)))),
            (block(7, video("b", range(28, 30)), video("c", range(30, 31))),),
        )
    )
    divided, pieces = divide_group(group, [SMALL, SMALL])
    assert divided == group
    found = [[(job.store, job.video.file.video_id, job.video.clips[0].row) for job in piece] for piece in pieces]
    assert found == [[(0, "a", 0)], [(0, "b", 3), (0, "b", 5), (1, "b", 28)], [(1, "c", 30)]]


def test_a_long_video_is_divided_into_the_same_stretches_for_each_store() -> None:
    """Store 0 has 150 rows in three blocks, store 1 has 30 in one; 1.5 GB of pictures."""
    small_blocks = tuple(
        block(number, video("a", range(first, first + 50), frames=16, hop=16))
        for number, first in enumerate((0, 50, 100))
    )
    group = BlockGroup(blocks=(small_blocks, (block(0, video("a", range(30), frames=64, hop=80)),)))
    divided, pieces = divide_group(group, [SMALL, LARGE])
    stretches: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for piece in pieces:
        shares = [num_pictures(job.video.clips) / max_pictures((SMALL, LARGE)[job.store]) for job in piece]
        assert sum(shares) <= 1
        for store, most in enumerate((111, 6)):
            rows = [clip.row for job in piece if job.store == store for clip in job.video.clips]
            assert len(rows) <= most
            stretches[store].append((rows[0], rows[-1]))
    assert 6 <= len(pieces) <= 8
    for (first, last), (start, stop) in zip(stretches[0], stretches[1], strict=True):
        assert abs(first / 150 - start / 30) < 1 / 30
        assert abs(last / 150 - stop / 30) < 1 / 30
    for before, after in zip(group.blocks, divided.blocks, strict=True):
        for whole, parts in zip(before, after, strict=True):
            clips = [clip.row for job in parts.videos for clip in job.clips]
            assert clips == [clip.row for job in whole.videos for clip in job.clips]
    assert {id(job.video) for piece in pieces for job in piece} == {
        id(job) for blocks in divided.blocks for each in blocks for job in each.videos
    }


def test_windows_that_overlap_count_by_their_frames() -> None:
    """384 rows of 16 frames, 4 apart: 1548 pictures; 6144 would be 3.4 times what a task may hand over."""
    blocks = tuple(block(n, video("a", range(64 * n, 64 * n + 64), frames=16, hop=4)) for n in range(6))
    _, pieces = divide_group(BlockGroup(blocks=(blocks,)), [SMALL])
    assert [len(piece) for piece in pieces] == [6]
    crops = [ClipJob(row=0, crop=crop, indices=np.arange(16, dtype=np.int32)) for crop in (0, 2)]
    assert num_pictures(crops) == 32


def test_pieces_keep_to_the_order_of_both_stores() -> None:
    one = block(0, video("b", range(1)), video("e", range(1, 2)))
    other = block(0, *(video(name, range(row, row + 1)) for row, name in enumerate("abcdef")))
    _, pieces = divide_group(BlockGroup(blocks=((one,), (other,))), [SMALL, SMALL])
    assert [piece[0].video.file.video_id for piece in pieces] == list("abcdef")
