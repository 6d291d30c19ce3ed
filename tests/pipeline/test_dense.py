"""Windows that overlap: which blocks are decoded together, and that nothing but the decoding depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec
from fouls.pipeline.batches import max_pictures, num_pictures
from fouls.pipeline.dense import group_dense, overlaps
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.extract import make_groups, write_plan
from fouls.pipeline.grouping import BlockGroup, GroupPlan
from fouls.pipeline.options import SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.pipeline.sharing import divide_group
from fouls.pipeline.work import Work, find_work, make_work
from tests.cache.conftest import make_spec

from .conftest import Project
from .test_together import CountingPool


def spec(size: int, hop: int = 4, *, num_frames: int = 16, stride: int = 1) -> Spec:
    preprocessing = PreprocessingSpec(resize_to=size, crop=size, antialias=True, mean=(0, 0, 0), std=(1, 1, 1))
    sampling = SamplingSpec(kind="dense", num_frames=num_frames, frame_stride=stride, hop=hop)
    return make_spec(sampling=sampling, preprocessing=preprocessing)


def work(windows: Iterable[int], block_rows: int, of: Spec) -> Work:
    """Videos of so many windows each, one after another."""
    counts, sampling = list(windows), of.sampling
    steps = np.arange(sampling.num_frames) * (sampling.frame_stride or 1)
    names = [f"v{video}" for video, count in enumerate(counts) for _ in range(count)]
    clips = [clip for count in counts for clip in range(count)]
    rows = pa.table(
        {
            "row": range(len(names)),
            "video_id": names,
            "clip": pa.array(clips, pa.int32()),
            "crop": pa.array([0] * len(names), pa.int8()),
            "augment": pa.array([0] * len(names), pa.int16()),
            "frame_indices": [(steps + clip * (sampling.hop or 1)).astype(np.int32) for clip in clips],
            "content_hash": names,
            "segment_start": pa.nulls(len(names), pa.int64()),
            "segment_stop": pa.nulls(len(names), pa.int64()),
            "plan_error": pa.nulls(len(names), pa.string()),
        }
    )
    found = [f"v{video}" for video in range(len(counts))]
    columns = {"video_id": found, "path": found, "content_hash": found}
    numbers = {name: pa.nulls(len(found), pa.int64()) for name in ("size_bytes", "modified_ns")}
    return make_work(rows, block_rows, pa.table(columns | numbers).replace_schema_metadata({"root": "/"}), {})


def sizes(groups: list[GroupPlan]) -> list[int]:
    return [len(group[0]) for group in groups]


def test_which_samplings_overlap() -> None:
    assert overlaps(spec(32, hop=15).sampling)
    assert not overlaps(spec(32, hop=16).sampling)
    assert overlaps(spec(32, hop=60, stride=4).sampling)
    assert not overlaps(SamplingSpec(kind="uniform", num_frames=16))


def test_one_engine_decodes_short_videos_once_where_they_fit_together() -> None:
    """1783 pictures of 224 × 224 a task: 442 windows, 27 blocks of 16. Of 160 windows the third video's is the last."""
    of = spec(224)
    assert sizes(group_dense(work([85, 28, 48, 93, 74], 16, of), of, 1)) == [21]
    assert sizes(group_dense(work([85, 28, 47, 94, 74], 16, of), of, 1)) == [10, 11]


@pytest.mark.parametrize(("size", "hop", "num_frames", "stride"), [(224, 4, 16, 1), (224, 16, 16, 4), (448, 6, 8, 4)])
def test_a_group_of_a_long_video_is_as_much_as_one_task_may_hand_over(
    size: int, hop: int, num_frames: int, stride: int
) -> None:
    of = spec(size, hop, num_frames=num_frames, stride=stride)
    whole = work([2000], 16, of)
    groups = group_dense(whole, of, 1)
    assert len(groups) > 1
    most = sizes(groups)[0]
    assert sizes(groups) == [*[most] * (len(groups) - 1), sizes(groups)[-1]]
    for (numbers,) in groups:
        _, pieces = divide_group(BlockGroup(blocks=(tuple(map(whole.job, numbers)),)), [of])
        assert len(pieces) == 1
    longer = [clip for number in range(most + 1) for video in whole.job(number).videos for clip in video.clips]
    assert num_pictures(longer) > max_pictures(of)


@pytest.mark.parametrize(
    ("windows", "groups"),
    [
        ([64], [(0,), (1, 2, 3)]),  # 136 frames by the end of the first block, 250 and more of the others
        ([128], [(0, 1, 2), (3, 4, 5), (6, 7)]),  # with a cut there it would be 3 in all, where 2 do
        ([18, 46], [(0, 1), (2, 3)]),  # the second video begins in the second block, and had 120 frames by its end
        ([15, 49], [(0,), (1, 2, 3)]),  # 16 frames by the end of the first block
        ([16, 48], [(0,), (1, 2, 3)]),  # none
    ],
)
def test_a_cut_is_made_where_a_video_has_just_begun(windows: list[int], groups: list[tuple[int, ...]]) -> None:
    """A task holds 490 pictures of 427 × 427: 3 blocks of 16 windows."""
    of = spec(427, hop=8)
    assert group_dense(work(windows, 16, of), of, 1) == [(group,) for group in groups]


def test_work_for_several_engines_is_divided_among_them() -> None:
    of = spec(224)
    whole = work([1280], 16, of)  # 80 blocks
    assert sizes(group_dense(whole, of, 1)) == [27, 27, 26]
    assert sizes(group_dense(whole, of, 4)) == [10] * 8
    assert sizes(group_dense(whole, of, 100)) == [1] * 80


def test_videos_are_decoded_once_and_the_store_is_that_of_blocks_done_one_by_one(project: Project) -> None:
    """17 … 57 frames in windows of 8, 2 apart: their ends are nowhere near those of the blocks."""
    sampling = SamplingOptions(kind="dense", frame_stride=1, hop=2)
    counted, features = {}, {}
    for name in ("together", "apart"):
        prepared = prepare(project.options(name, sampling=sampling))
        write_plan(prepared)
        store = project.store(name)
        found = find_work(store, prepared.manifest, retry=None)
        groups = list(make_groups([prepared], [found]))
        if name == "apart":
            groups = [BlockGroup(blocks=((block,),)) for group in groups for block in group.blocks[0]]
        pool = CountingPool()
        member = Member(store=store, backbone=prepared.backbone, batch_size=2)
        with Engine([member], prepared.engine_options, pool) as engine:
            for group in groups:
                engine.run(group)
        counted[name] = Counter(pool.tasks)
        features[name] = store["mean"][:]
        assert store.rows()["status"].to_pylist() == ["done"] * found.num_rows
    assert set(counted["together"].values()) == {1}
    assert counted["apart"].total() == 44
    np.testing.assert_array_equal(features["together"], features["apart"])
