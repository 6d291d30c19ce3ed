"""What is not given is chosen before a long extraction: once, for all workers, and not again after a pause."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from fouls.errors import ExecutorError
from fouls.manifests.table import read_manifest
from fouls.pipeline import devices, trial, tuning
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.calibration import estimate_all
from fouls.pipeline.devices import default_batch_size
from fouls.pipeline.extract import extract_all, plan
from fouls.pipeline.options import ExecutorOptions
from fouls.pipeline.prepare import Prepared, prepare
from fouls.pipeline.tuning import Tuning, tune
from fouls.pipeline.work import Work, make_work

from .conftest import NUM_VIDEOS, Project
from .test_streaming import STREAMING

SECONDS = {1: 1.0, 2: 0.4, 4: 0.45, 8: 0.1}
"""Of a row by batch size: what the trials are made to find."""
CORES = 3
Tried = list[int]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Tried:
    """The sizes that are tried, where ten rows on a CPU are worth it. The net really runs; its times are made up."""
    found: Tried = []
    original = trial.try_forward

    def forward(backbone: Backbone, spec: Any, *, batch_size: int) -> float:
        found.append(batch_size)
        assert original(backbone, spec, batch_size=batch_size) > 0
        return SECONDS[batch_size]

    monkeypatch.setattr(tuning, "try_forward", forward)
    monkeypatch.setattr(tuning, "TRIED_SIZES", {"cpu": (1, 2, 4, 8)})
    monkeypatch.setattr(tuning, "LEAST_ROWS", NUM_VIDEOS)
    monkeypatch.setattr(tuning, "MOST_SECONDS", 60.0)
    monkeypatch.setattr(tuning, "MOST_SHARE", 100.0)
    monkeypatch.setattr(devices, "usable_cores", lambda: CORES)
    return found


def everything(prepared: Prepared, block_rows: int = 8) -> Work:
    return make_work(plan(prepared)[0], block_rows, prepared.manifest, {})


def tuned(project: Project, block_rows: int = 8, num_rows: int | None = None, **changes: Any) -> Tuning:
    prepared = prepare(project.options(**({"batch_size": None} | changes)))
    return tune([prepared], [everything(prepared, block_rows)], num_rows=num_rows)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_all_workers_take_what_was_chosen_once_and_a_resume_keeps_it(project: Project, tried: Tried) -> None:
    changes = {"batch_size": None, "block_rows": 4, "decode_workers": 1}
    reasons: list[str] = []
    workers = project.options(executor=ExecutorOptions(workers=2), **changes)
    extract_all([prepare(workers)], on_tuned=reasons.append)
    assert tried == [1, 2, 4]
    assert [record.batch_size for record in project.store().ledger()] == [2, 2, 2]
    assert re.fullmatch(r"batch size 2: calibrated in \d+\.\d s \(forward 2\.5 clips/s\)", reasons.pop())
    for number in range(NUM_VIDEOS):
        project.add_video(f"more{number}")
    (project.path / "manifests" / "videos.parquet").unlink()
    project.build()
    extract_all([prepare(project.options(**changes))], on_tuned=reasons.append)
    assert (tried, reasons) == ([1, 2, 4], [])
    assert {record.batch_size for record in project.store().ledger()} == {2}
    assert len(project.store().rows()) == 2 * NUM_VIDEOS


def test_decoding_is_tried_too(project: Project, tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding some small videos is fast beside 0.4 s a row: two processes do, and there may be three."""
    monkeypatch.setattr(tuning, "DECODING_SECONDS", 0.0)
    found = tuned(project)
    assert found.batch_sizes == (2,)
    assert (found.engine.decode_workers, found.engine.max_decode_workers) == (2, CORES)
    assert found.calibrations is not None
    assert found.calibrations[0] is not None
    assert found.calibrations[0].forward_seconds == 0.4
    assert 0 < found.calibrations[0].read_seconds < 0.4
    pattern = r"batch size 2, 2 decoding processes: calibrated in .* s \(forward 2.5 clips/s, decoding .* a process\)"
    assert found.reason is not None
    assert re.fullmatch(pattern, found.reason)
    two_engines = tuned(project, executor=ExecutorOptions(workers=2))
    assert (two_engines.engine.decode_workers, two_engines.engine.max_decode_workers) == (1, None)  # 3 // 2 cores each


def test_a_dry_run_says_what_the_extraction_will_choose(project: Project, tried: Tried) -> None:
    found = estimate_all([prepare(project.options(batch_size=None, block_rows=8))])
    assert (found.stores[0].batch_size, found.decode_workers) == (2, 2)
    assert found.stores[0].seconds == found.seconds
    assert found.seconds == pytest.approx(NUM_VIDEOS * 0.4, rel=0.5)  # and the decoding
    assert found.tuned is not None


def test_what_is_given_holds(project: Project, tried: Tried) -> None:
    found = tuned(project, batch_size=3, decode_workers=1)
    assert (found.batch_sizes, found.engine.decode_workers, found.engine.max_decode_workers) == ((3,), 1, None)
    assert (tried, found.reason) == ([], None)


def test_batches_fit_into_a_block(project: Project, tried: Tried) -> None:
    assert tuned(project, block_rows=1, decode_workers=1).batch_sizes == (1,)
    assert tried == [1]


def test_little_work_is_not_worth_a_trial(project: Project, tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_ROWS", NUM_VIDEOS + 1)
    found = tuned(project)
    assert (tried, found.reason) == ([], None)
    assert (found.batch_sizes, found.engine.decode_workers) == ((default_batch_size("cpu"),), CORES)
    assert tuned(project, num_rows=10**6).reason is not None


def test_trials_end_with_their_share_of_the_work(
    project: Project, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One size can't be compared with another, so the defaults stay."""
    monkeypatch.setattr(tuning, "MOST_SHARE", 1e-6)
    found = tuned(project)
    assert tried == [1]
    assert (found.batch_sizes, found.engine.decode_workers) == ((default_batch_size("cpu"),), CORES)
    assert found.engine.max_decode_workers is None


@pytest.mark.parametrize(
    "changes", [{"compile": True}, STREAMING, {"executor": ExecutorOptions(scheduler="tcp://127.0.0.1:1")}]
)
def test_where_a_size_would_mean_something_else_none_is_tried(
    project: Project, tried: Tried, changes: dict[str, Any]
) -> None:
    prepared = prepare(project.options(batch_size=None, **changes))
    assert tuning._sizes_to_try(prepared, everything(prepared)) == []


def test_videos_on_the_network_have_all_processes(project: Project, tried: Tried) -> None:
    prepared = prepare(project.options())
    assert tuning._counts_processes(prepared)
    manifest = read_manifest(project.path / "manifests")
    place = manifest.schema.get_field_index("path")
    urls = manifest.set_column(place, "path", [[f"https://there/{number}" for number in range(NUM_VIDEOS)]])
    assert not tuning._counts_processes(replace(prepared, manifest=urls))


@pytest.mark.parametrize(("changes", "clips"), [({}, "1 clip"), ({"batch_size": 4}, "4 clips")])
def test_no_memory_is_said(
    project: Project, tried: Tried, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], clips: str
) -> None:
    def full(*args: object, **options: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(tuning, "try_forward", full)
    with pytest.raises(ExecutorError, match=f"cpu has no memory for {clips} of videomae"):
        tuned(project, **changes)


def test_a_batch_that_fills_a_gpu_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9, 100))
    with pytest.raises(torch.OutOfMemoryError):
        tuning._check_memory(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (11, 100))
    tuning._check_memory(torch.device("cuda"))


@pytest.mark.parametrize(("threads", "engines", "size"), [(2, 1, 4), (16, 1, 16), (16, 2, 8)])
def test_a_cpu_has_a_clip_for_each_thread(
    threads: int, engines: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert default_batch_size("cpu", engines) == size
    assert default_batch_size("cuda", engines) == 32


def test_trial_videos_are_from_all_over(project: Project) -> None:
    prepared = prepare(project.options())
    names: Callable[[int], list[str]] = lambda block_rows: [  # noqa: E731
        video.file.video_id for video in trial.trial_videos(everything(prepared, block_rows))
    ]
    assert names(2) == ["v0", "v4", "v8"]
    assert names(5) == ["v0", "v5"]
    assert names(100) == ["v0", "v1", "v2"]
    assert trial.trial_videos(replace(everything(prepared), edges=everything(prepared).edges[:1])) == []
