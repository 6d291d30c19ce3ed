"""Two backbones in one pass: the stores are those of two passes, bit for bit, and every video was decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fouls.errors import ConfigError, StoreError
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.calibration import estimate_all
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.extract import ExtractReport, extract_all
from fouls.pipeline.grouping import BlockGroup, group_blocks
from fouls.pipeline.jobs import VideoJob
from fouls.pipeline.options import ExecutorOptions, ExtractOptions, SamplingOptions
from fouls.pipeline.prepare import Prepared, prepare_all
from fouls.pipeline.work import find_work
from fouls.video.isolation import IsolatedPool

from .backbones.checkpoints import tiny_checkpoint
from .conftest import NUM_VIDEOS, Project
from .test_cutting import break_from_last_key_frame
from .test_extract import HOW_IT_WAS_ASKED_FOR, contents

DENSE = SamplingOptions(kind="dense", frame_stride=1, hop=5)
"""Of 8 frames a clip and of 16: so many rows a video that the blocks of the two stores hardly ever end together."""
DENSE_ROWS = (sum(range(2, 12)), sum(range(1, 11)))
"""12, 17, … 57 frames: 2, 3, … 11 clips of 8 frames, one fewer of 16."""


@dataclass(frozen=True)
class Pair:
    """A project with two backbones: 8 frames of 64 × 64, and 16 frames of 32 × 32."""

    project: Project
    other_weights: Path

    def options(self, suffix: str = "", **changes: Any) -> list[ExtractOptions]:
        """The first and the second, in stores ``one`` and ``two``."""
        one = self.project.options(f"one{suffix}", **changes)
        two = self.project.options(f"two{suffix}", weights=str(self.other_weights), **({"block_rows": 2} | changes))
        return [one, two]

    def together(self, suffix: str = "", **changes: Any) -> list[ExtractReport]:
        return extract_all(prepare_all(self.options(suffix, **changes)))

    def apart(self, suffix: str = "", **changes: Any) -> None:
        for options in self.options(suffix, **changes):
            extract_all(prepare_all([options]))

    def files(self, name: str) -> dict[str, bytes]:
        """What lies in a store, without times and options."""
        return {k: v for k, v in contents(self.project.store(name)).items() if k not in HOW_IT_WAS_ASKED_FOR}


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("weights") / "other", num_frames=16, image_size=32)


@pytest.fixture
def pair(project: Project, other_weights: Path) -> Pair:
    return Pair(project=project, other_weights=other_weights)


class CountingPool(IsolatedPool):
    """Notes which videos were decoded."""

    def __init__(self) -> None:
        super().__init__(1, 60.0, preload=["fouls.pipeline.decoding"])
        self.tasks: list[str] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        jobs = [args[0]] if isinstance(args[0], VideoJob) else [job for job, _ in args[0]]
        self.tasks.append(jobs[0].file.video_id)
        return super().submit(function, *args, **kwargs)


def run_counted(prepared: list[Prepared], pair: Pair) -> Counter[str]:
    """Do what is to do in stores that are planned; decoding tasks by video."""
    stores = [pair.project.store(each.options.store.name) for each in prepared]
    manifest = prepared[0].manifest
    works = [find_work(store, manifest, retry=None) for store in stores]
    videos = [[work.videos(number) for number in range(len(work))] for work in works]
    members = [
        Member(store=store, backbone=each.backbone, batch_size=2) for store, each in zip(stores, prepared, strict=True)
    ]
    pool = CountingPool()
    with Engine(members, prepared[0].engine_options, pool) as engine:
        for group in group_blocks(videos):
            jobs = (tuple(map(work.job, numbers)) for work, numbers in zip(works, group, strict=True))
            engine.run(BlockGroup(blocks=tuple(jobs)))
    return Counter(pool.tasks)


def forget(pair: Pair, name: str, *blocks: int) -> None:
    """Take blocks' records away, as a crash before the commit would have."""
    ledger = pair.project.store(name).path / "ledger"
    for record in [ledger / f"{block:08d}.json" for block in blocks] if blocks else ledger.glob("0*.json"):
        record.unlink()


@pytest.mark.parametrize("changes", [{}, {"sampling": DENSE}, {"augment": AugmentOptions(passes=2)}])
def test_the_stores_are_those_of_two_extractions(pair: Pair, changes: dict[str, Any]) -> None:
    reports = pair.together(**changes)
    assert all(report.summary.done == report.summary.rows == report.new_rows for report in reports)
    if "sampling" in changes:
        assert tuple(report.new_rows for report in reports) == DENSE_ROWS
    pair.apart("-alone", **changes)
    for name in ("one", "two"):
        assert pair.files(name) == pair.files(f"{name}-alone")


def test_every_video_is_decoded_once(pair: Pair) -> None:
    pair.together(augment=AugmentOptions(passes=3))
    before = pair.files("one"), pair.files("two")
    forget(pair, "one")
    forget(pair, "two")
    prepared = prepare_all(pair.options(augment=AugmentOptions(passes=3)))
    counted = run_counted(prepared, pair)  # 4 rows a video: 1 block of the first store, 2 of the second
    assert counted == {f"v{number}": 1 for number in range(NUM_VIDEOS)}
    assert (pair.files("one"), pair.files("two")) == before


def test_only_what_lacks_is_done(pair: Pair) -> None:
    """One store complete; then a block of each gone."""
    one, two = prepare_all(pair.options())
    extract_all([one])
    complete = pair.files("one")
    reports = extract_all([one, two])
    assert [report.new_rows for report in reports] == [0, NUM_VIDEOS]
    assert pair.files("one") == complete
    whole = pair.files("two")
    forget(pair, "one", 1)  # videos 4 … 7
    forget(pair, "two", 1, 2)  # 2 … 5
    assert run_counted([one, two], pair) == {f"v{number}": 1 for number in range(2, 8)}
    assert (pair.files("one"), pair.files("two")) == (complete, whole)


def test_what_fails_for_one_backbone_is_done_for_the_other(pair: Pair) -> None:
    """A video is torn from its frame 16 on: a backbone that needs those before alone gets them, as when it is alone."""
    break_from_last_key_frame(pair.project.videos / "v3.mp4")
    pair.project.build()
    options = [
        replace(each, sampling=SamplingOptions(kind="window", window=(0, last)))
        for each, last in zip(pair.options(decoder="pyav"), (8, 27), strict=True)
    ]
    reports = extract_all(prepare_all(options))
    assert [(report.summary.done, report.summary.failed) for report in reports] == [(10, 0), (9, 1)]
    (failure,) = [failure for record in pair.project.store("two").ledger() for failure in record.failures]
    assert (failure.video_id, failure.code, failure.attempts) == ("v3", "decode_error", 1)
    for each in options:
        alone = replace(each, out=each.store.with_name(f"{each.store.name}-alone"))
        extract_all(prepare_all([alone]))
        assert pair.files(each.store.name) == pair.files(alone.store.name)


def test_a_video_that_is_gone_costs_each_store_its_rows(pair: Pair) -> None:
    (pair.project.videos / "v2.mp4").unlink()
    reports = pair.together()
    assert [(report.summary.done, report.summary.failed) for report in reports] == [(9, 1), (9, 1)]
    for name in ("one", "two"):
        (failure,) = [failure for record in pair.project.store(name).ledger() for failure in record.failures]
        assert (failure.video_id, failure.code) == ("v2", "unreadable")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask leaves sockets to the garbage collector
def test_two_workers_give_the_same_bytes(pair: Pair) -> None:
    changes = {"augment": AugmentOptions(passes=1), "sampling": DENSE, "limit": 4}
    pair.together("-here", **changes)
    reports = pair.together("-cluster", executor=ExecutorOptions(workers=2), **changes)
    assert all(report.summary.done == report.summary.rows > 0 for report in reports)
    for name in ("one", "two"):
        assert pair.files(f"{name}-cluster") == pair.files(f"{name}-here")


def test_the_estimate_counts_the_decoding_once(pair: Pair) -> None:
    estimates = estimate_all(prepare_all(pair.options(sampling=DENSE)))
    one, two = estimates.stores
    assert (one.rows, two.rows) == DENSE_ROWS
    assert one.seconds is not None
    assert two.seconds is not None
    assert estimates.seconds is not None
    assert max(one.seconds, two.seconds) < estimates.seconds < one.seconds + two.seconds
    assert not (pair.project.path / "cache").exists()


def test_what_cannot_share_is_refused(pair: Pair) -> None:
    one, two = pair.options()
    for options, message in (
        ([one, replace(two, out=one.out)], "can't hold both videomae and videomae: give each a store with --out"),
        ([one, replace(two, limit=3)], "limit is None for videomae and 3 for videomae"),
        ([one, replace(two, decoder="pyav")], "decoder is 'auto' for videomae and 'pyav'"),
        (
            [one, replace(two, backbone="movinet_a0_stream", weights="random:0")],
            "movinet_a0_stream goes through all frames in their order and can't share",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            prepare_all(options)


def test_a_store_that_somebody_fills_stops_both(pair: Pair) -> None:
    from fouls.cache.lock import exclusive

    prepared = prepare_all(pair.options())
    with exclusive(prepared[1].options.store), pytest.raises(StoreError, match="another `fouls extract` is filling"):
        extract_all(prepared)
    assert not (prepared[0].options.store / "zarr.json").exists()
