"""What is left to do, on a store and a manifest without files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.quarantine import Retry
from fouls.cache.rows import append_rows
from fouls.cache.spec import SamplingSpec
from fouls.cache.store import Store, open_store
from fouls.errors import StoreError
from fouls.pipeline.plan import plan_rows
from fouls.pipeline.work import Work, find_work
from tests.cache.conftest import SHAPES, fill, make_spec
from tests.manifests.tables import make_table, with_column

VIEWS = SamplingSpec(kind="views", num_frames=4, frame_stride=2, num_clips=2, num_crops=1)
NUM_VIDEOS = 9
"""Two rows each, in blocks of four: a video is in one block; the fourth can't be sampled, and has one row."""


def manifest() -> pa.Table:
    table = make_table([f"v{number}" for number in range(NUM_VIDEOS)])
    return with_column(table, "probe_error", [None] * 3 + ["unreadable: torn"] + [None] * 5)


@pytest.fixture
def planned(tmp_path: Path) -> Store:
    path, rows = tmp_path / "store", plan_rows(manifest(), make_spec(sampling=VIEWS))
    create_group(path, spec=make_spec(sampling=VIEWS), shapes=SHAPES, block_rows=4, made_by={})
    append_rows(path, rows)
    resize_arrays(path, rows.num_rows)
    return open_store(path)


def rows_of(work: Work) -> list[int]:
    jobs = list(work.jobs())
    assert work.num_rows == sum(job.num_rows for job in jobs)
    clips = [clip.row for job in jobs for video in job.videos for clip in video.clips]
    return sorted(clips + [row for job in jobs for row, _, _ in job.unplannable])


def test_everything_is_to_do_at_first(planned: Store) -> None:
    work = find_work(planned, manifest(), retry=None)
    assert (len(work), work.num_rows, work.orphans) == (5, 17, 0)
    assert rows_of(work) == list(range(17))
    assert [job.block for job in work.jobs()] == [0, 1, 2, 3, 4]
    job = work.job(1)
    assert [video.file.video_id for video in job.videos] == ["v2", "v4"]
    assert [video.file.path for video in job.videos] == ["/data/v2.mp4", "/data/v4.mp4"]
    assert [clip.row for video in job.videos for clip in video.clips] == [4, 5, 7]
    assert job.unplannable == ((6, "v3", "unreadable: torn"),)
    assert work.videos(1) == [2, 3, 4]
    rows = planned.rows()
    for job in work.jobs():
        for video in job.videos:
            for clip in video.clips:
                assert rows["video_id"][clip.row].as_py() == video.file.video_id
                np.testing.assert_array_equal(clip.indices, rows["frame_indices"][clip.row].as_py())


def test_only_what_is_not_done_is_to_do(planned: Store) -> None:
    fill(planned, 0, [0, 1, 2, 3])
    fill(planned, 1, [4, 5], failed=[6])
    work = find_work(planned, manifest(), retry=None)
    assert rows_of(work) == [7, *range(8, 17)]
    job = work.job(0)
    assert job.record is not None
    assert (job.block, job.record.done, job.record.block) == (1, [[4, 6]], 1)
    assert work.job(1).record is None
    assert rows_of(find_work(planned, manifest(), retry=Retry())) == [6, 7, *range(8, 17)]
    assert rows_of(find_work(planned, manifest(), retry=Retry(only=("timeout",)))) == [7, *range(8, 17)]


def test_nothing_to_do(planned: Store) -> None:
    for block in range(5):
        fill(planned, block, list(range(4 * block, min(4 * block + 4, 17))))
    work = find_work(planned, manifest(), retry=None)
    assert (len(work), work.num_rows, list(work.jobs())) == (0, 0, [])


def test_videos_that_the_manifest_lacks_are_counted_and_left(planned: Store) -> None:
    work = find_work(planned, manifest().slice(0, 5), retry=None)
    assert work.orphans == 8
    assert rows_of(work) == list(range(9))


def test_rows_of_other_content_are_refused(planned: Store) -> None:
    changed = with_column(manifest(), "content_hash", ["cd" * 32] * NUM_VIDEOS)
    with pytest.raises(StoreError, match="video 'v0' is planned from other content"):
        find_work(planned, changed, retry=None)
    gone = with_column(manifest(), "content_hash", [None] * NUM_VIDEOS)
    assert find_work(planned, gone, retry=None).num_rows == 17
