"""How a group's work is divided into decoding tasks."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec
from fouls.pipeline.batches import MAX_JOB_BYTES, clip_bytes
from fouls.pipeline.grouping import BlockGroup
from fouls.pipeline.jobs import BlockJob, ClipJob, VideoFile, VideoJob
from fouls.pipeline.sharing import divide_group
from tests.cache.conftest import make_spec


def spec(num_frames: int, size: int) -> Spec:
    preprocessing = PreprocessingSpec(resize_to=size, crop=size, antialias=True, mean=(0, 0, 0), std=(1, 1, 1))
    return make_spec(sampling=SamplingSpec(num_frames=num_frames), preprocessing=preprocessing)


SMALL, LARGE = spec(16, 224), spec(64, 448)
"""2.4 MB and 38.5 MB a row: 111 and 6 rows a decoding task."""


def video(name: str, rows: range) -> VideoJob:
    """A row begins where its number says, in frames."""
    file = VideoFile(video_id=name, path=name, size_bytes=None, modified_ns=None, content_hash=None)
    clips = tuple(ClipJob(row=row, crop=0, indices=np.array([row], dtype=np.int32)) for row in rows)
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
        block(number, video("a", range(first, first + 50))) for number, first in enumerate((0, 50, 100))
    )
    group = BlockGroup(blocks=(small_blocks, (block(0, video("a", range(30))),)))
    divided, pieces = divide_group(group, [SMALL, LARGE])
    sizes = [clip_bytes(SMALL), clip_bytes(LARGE)]
    stretches: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for piece in pieces:
        assert sum(sizes[job.store] * len(job.video.clips) for job in piece) <= MAX_JOB_BYTES + sum(sizes)
        for store, most in enumerate((111, 6)):
            rows = [clip.row for job in piece if job.store == store for clip in job.video.clips]
            assert len(rows) <= most
            stretches[store].append((rows[0], rows[-1]))
    assert len(pieces) == 6
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


def test_pieces_keep_to_the_order_of_both_stores() -> None:
    one = block(0, video("b", range(1)), video("e", range(1, 2)))
    other = block(0, *(video(name, range(row, row + 1)) for row, name in enumerate("abcdef")))
    _, pieces = divide_group(BlockGroup(blocks=((one,), (other,))), [SMALL, SMALL])
    assert [piece[0].video.file.video_id for piece in pieces] == list("abcdef")
