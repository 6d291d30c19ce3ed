"""A stream net's rows follow time: each equals the net called on everything up to it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from fouls.errors import BackboneError, ConfigError
from fouls.pipeline import stream_groups
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.extract import extract
from fouls.pipeline.loose import extract_loose
from fouls.pipeline.options import ExecutorOptions, SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.pipeline.sampling import stream
from fouls.video.decoders import open_video

from .conftest import Project
from .test_extract import break_pictures, contents

HOP = 6
STREAMING = {
    "backbone": "movinet_a0_stream",
    "weights": "random:0",
    "sampling": SamplingOptions(hop=HOP),
    "precision": "fp32",
    "stored_dtype": "float32",
    "pools": ("pooled", "hidden"),
}


@pytest.fixture
def short(project: Project) -> Project:
    """Three videos of 12, 17 and 22 frames, 2 + 3 + 4 rows."""
    for video in sorted(project.videos.iterdir())[3:]:
        video.unlink()
    (project.path / "manifests" / "videos.parquet").unlink()
    project.build()
    return project


@pytest.mark.parametrize("num_frames", range(1, 40))
def test_sub_clips_follow_each_other_without_a_gap(num_frames: int) -> None:
    clips = stream(num_frames, 4, 2)
    assert np.concatenate(clips).tolist() == list(range(0, num_frames, 2))
    assert {len(clip) for clip in clips[:-1]} <= {4}
    assert 1 <= len(clips[-1]) <= 4


def test_rows_equal_the_whole_up_to_there(short: Project) -> None:
    report = short.extract(**STREAMING)
    assert (report.summary.rows, report.summary.done) == (9, 9)
    store = short.store()
    backbone = load_backbone("movinet_a0_stream", weights="random:0")
    for row in store.rows().to_pylist():
        stop = row["stop_frame"]
        with open_video(str(short.videos / f"{row['video_id']}.mp4")) as reader:
            frames = np.stack(list(reader.read(np.arange(stop))))[None]
        whole, _ = backbone.stream(backbone.preprocess(frames), pools=["pooled", "hidden"])
        for pool in ("pooled", "hidden"):
            np.testing.assert_allclose(store[pool][row["row"]], whole[pool][0].numpy(), rtol=1e-4, atol=2e-5)
    assert store.rows()["frame_indices"].to_pylist()[4] == [12, 13, 14, 15, 16]  # what is left of 17 frames


def test_a_resume_inside_a_video_gives_the_same_bytes(short: Project) -> None:
    """Blocks of 2 rows cut the videos; the ledger forgets the middle one, as after a crash."""
    short.extract("whole", block_rows=2, **STREAMING)
    short.extract(block_rows=2, **STREAMING)
    path = short.store().path
    (path / "ledger" / "00000002.json").unlink()
    (path / "pooled" / "c" / "2" / "0").unlink()
    assert short.extract(block_rows=2, **STREAMING).summary.done == 9
    assert contents(short.store()) == contents(short.store("whole"))


def test_the_state_is_handed_on_from_block_to_block(short: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one group no frame goes through the net twice, wherever the blocks cut a video."""
    monkeypatch.setattr(stream_groups, "SHARES_AGAIN", (0.0,))
    prepared = prepare(short.options(block_rows=2, **STREAMING))
    seen: list[int] = []
    original = prepared.backbone.stream

    def counting(x: torch.Tensor, state: object = None, pools: object = None) -> object:
        seen.append(x.shape[2])
        return original(x, state, pools)  # type: ignore[arg-type]

    monkeypatch.setattr(prepared.backbone, "stream", counting)
    assert extract(prepared).summary.done == 9
    assert sum(seen) == 12 + 17 + 22


def test_two_videos_go_through_the_net_side_by_side(short: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread each, and the bytes are those of one after the other on one thread."""
    short.extract("one", block_rows=2, **STREAMING)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        prepared = prepare(short.options("two", block_rows=2, **STREAMING))
        met, original, calls = threading.Barrier(2), prepared.backbone.stream, []

        def meet(*args: object) -> object:
            calls.append(torch.get_num_threads())
            if len(calls) <= 2:
                met.wait(30.0)  # the first of one video waits for the first of another
            return original(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(prepared.backbone, "stream", meet)
        assert extract(prepared).summary.done == 9
        assert set(calls) == {1}
    finally:
        torch.set_num_threads(before)
    assert contents(short.store("two")) == contents(short.store("one"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_give_the_same_bytes(short: Project) -> None:
    short.extract("here", block_rows=2, **STREAMING)
    short.extract("cluster", block_rows=2, executor=ExecutorOptions(workers=2), **STREAMING)
    assert contents(short.store("here")) == contents(short.store("cluster"))


def test_a_broken_video_costs_its_own_rows(short: Project) -> None:
    broken: Path = short.videos / "v1.mp4"
    size = broken.stat().st_size
    break_pictures(broken)
    assert broken.stat().st_size == size
    report = short.extract(**STREAMING)
    assert (report.summary.done, report.summary.failed, report.summary.todo) == (6, 3, 0)


def test_loose_videos_get_the_rows_of_the_store(short: Project) -> None:
    short.extract(**STREAMING)
    store = short.store()
    backbone = load_backbone("movinet_a0_stream", weights="random:0")
    videos = [str(short.videos / f"v{number}.mp4") for number in range(3)]
    found = extract_loose(videos, backbone, store.spec, "pooled")
    assert found.failures == {}
    np.testing.assert_array_equal(found.values, store["pooled"][:])


def test_what_does_not_stream_says_so(project: Project) -> None:
    with pytest.raises(BackboneError, match="does not stream"):
        prepare(project.options(sampling=SamplingOptions(kind="stream")))
    with pytest.raises(ConfigError, match="has no pool 'temporal'"):
        prepare(project.options(**(STREAMING | {"pools": ("temporal",)})))
    with pytest.raises(ConfigError, match="multiple of --frame-stride"):
        prepare(project.options(**(STREAMING | {"sampling": SamplingOptions(hop=5, frame_stride=2)})))
    backbone = load_backbone("videomae_small", weights="random:0")
    with pytest.raises(BackboneError, match="does not stream"):
        backbone.stream(torch.zeros(1, 3, 2, 224, 224))
