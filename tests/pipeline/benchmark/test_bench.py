"""The stages are what they say, on a tiny backbone; how long they take is not asserted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VideoMAEModel

from fouls.errors import ConfigError, RunError
from fouls.manifests.table import read_manifest
from fouls.pipeline.benchmark.bench import BenchOptions, bench, check_parity
from fouls.pipeline.benchmark.clips import NUM_FRAMES, make_clips
from fouls.pipeline.benchmark.parity import NUM_CLIPS, read_clips
from fouls.pipeline.benchmark.stages import measure_peak, time_decoding, time_forward
from fouls.pipeline.options import ExecutorOptions, ExtractOptions, SamplingOptions
from fouls.pipeline.prepare import prepare
from tests.media import read_frame_number
from tests.pipeline.conftest import NUM_VIDEOS, Project
from tests.pipeline.test_extract import break_pictures


def options(project: Project, **changes: Any) -> BenchOptions:
    extract = replace(project.options(), block_rows=None, out=None)
    return BenchOptions(extract=replace(extract, **changes), repeats=2, product_size=64)


def test_all_stages_of_all_clips(project: Project) -> None:
    stages, efforts = [], []
    found = bench(options(project), on_stage=stages.append, on_effort=efforts.append)
    assert [(effort.num_videos, effort.repeats) for effort in efforts] == [(NUM_VIDEOS, 2)]
    assert found.decoding.together.num_clips == found.extract.num_clips == found.writing.num_clips == NUM_VIDEOS
    assert (found.forward.num_clips, found.batch_size, found.cores >= 1) == (2, 2, True)
    timings = (found.decoding.together, found.forward, found.writing, found.extract)
    assert all(len(timing.seconds) == 2 and min(timing.seconds) > 0 for timing in timings)
    assert len(found.decoding.costs) == 2
    for cost in found.decoding.costs:
        assert min(cost.read, cost.preprocess, cost.cores) > 0
    assert found.multiply_adds is None  # the tiny net is not the one of its name
    plain = found.to_dict()
    assert list(plain["stages"]) == ["decoding", "preprocessing", "forward", "writing", "extract"]
    assert json.loads(json.dumps(plain)) == plain
    assert plain["of_limit"] == plain["stages"]["extract"]["clips_per_second"] / plain["limit_clips_per_second"]
    assert stages[0] == "loading the backbone"
    assert not (project.path / "cache").exists()


def test_clips_that_it_makes(tmp_path: Path, tiny_weights: Path) -> None:
    extract = ExtractOptions(
        backbone="videomae", weights=str(tiny_weights), executor=ExecutorOptions(device="cpu"), batch_size=2
    )
    found = bench(BenchOptions(extract=extract, own_clips=True, videos=3, repeats=1, product_size=64))
    assert (found.extract.num_clips, found.decoding.together.num_clips) == (3, 3)
    table = read_manifest(make_clips(tmp_path, 2))
    assert (table["num_frames"].to_pylist(), table["probe_error"].to_pylist()) == ([NUM_FRAMES] * 2, [None] * 2)
    assert len(set(table["video_id"].to_pylist())) == 2


def test_what_cannot_be_measured_is_said(project: Project) -> None:
    for video in project.videos.iterdir():
        break_pictures(video)
    project.build()
    with pytest.raises(RunError, match="no video that could be probed"):
        bench(options(project))
    with pytest.raises(ConfigError, match="bench measures one device"):
        bench(options(project, executor=ExecutorOptions(workers=2)))
    with pytest.raises(ConfigError, match="--repeats is 0"):
        BenchOptions(extract=project.options(), repeats=0)


def test_a_trial_of_decoding_leaves_out_what_cannot_be_decoded(project: Project) -> None:
    from fouls.pipeline.extract import plan
    from fouls.pipeline.work import make_work

    break_pictures(project.videos / "v3.mp4")
    project.build()
    prepared = prepare(project.options(sampling=SamplingOptions(kind="views", num_clips=2, num_crops=1)))
    new, block_rows = plan(prepared)
    videos = [video for job in make_work(new, block_rows, prepared.manifest, {}).jobs() for video in job.videos]
    found = time_decoding(videos, prepared.spec, prepared.engine_options, repeats=1)
    assert found is not None
    assert found.together.num_clips == 2 * (NUM_VIDEOS - 1)


def test_forward_and_products(project: Project) -> None:
    prepared = prepare(project.options())
    found = time_forward(prepared.backbone, prepared.spec, batch_size=3, repeats=2, num_batches=4)
    assert (found.num_clips, len(found.seconds)) == (12, 2)
    assert measure_peak(torch.device("cpu"), "fp32", repeats=1, size=512) > 1e8


def test_parity_is_of_the_features(project: Project, tiny_weights: Path) -> None:
    found = {each.what: each for each in check_parity(options(project, precision="bf16", decoder="pyav"))}
    assert {"precision", "batch size", "extract"} <= set(found)
    wanted, there = [], prepare(project.options()).backbone
    frames = read_clips(str(project.videos / "v0.mp4"), "pyav", there.num_frames)
    model = VideoMAEModel.from_pretrained(tiny_weights).eval()
    with torch.inference_mode():
        for clip in there.preprocess(frames):
            features = [net(clip[None].transpose(1, 2).to(dtype)) for net, dtype in _both(model)]
            wanted.append([one.last_hidden_state.float().mean(1)[0] for one in features])
    plain, rounded = (torch.stack(side).double() for side in zip(*wanted, strict=True))
    cosine = torch.cosine_similarity(plain, rounded).min().item()
    far = found["precision"].deviations["mean"]
    assert 1 - far.cosine == pytest.approx(1 - cosine, rel=0.5)
    assert far.largest == pytest.approx((plain - rounded).abs().max().item(), rel=0.5)
    assert found["batch size"].deviations["mean"].cosine == pytest.approx(1.0, abs=1e-9)


def _both(model: VideoMAEModel) -> list[tuple[VideoMAEModel, torch.dtype]]:
    import copy

    return [(model, torch.float32), (copy.deepcopy(model).to(torch.bfloat16), torch.bfloat16)]


def test_clips_that_are_compared_are_from_all_over_the_video(project: Project) -> None:
    project.add_video("long", 100)
    clips = read_clips(str(project.videos / "long.mp4"), "pyav", 16)
    assert clips.shape[:2] == (NUM_CLIPS, 16)
    numbers = np.array([[read_frame_number(frame) for frame in clip] for clip in clips])
    assert (numbers[0, 0], numbers[-1, -1]) == (0, 99)
    assert (np.diff(numbers, axis=1) == 4).all()
    half = min(clips.shape[2:4]) // 2
    assert min(read_clips(str(project.videos / "long.mp4"), "pyav", 16, half).shape[2:4]) == half
