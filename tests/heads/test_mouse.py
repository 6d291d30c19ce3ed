"""Behaviour frame by frame: pose beside the features, keypoints regressed, thresholds found, all by native frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fouls.cache.spec import SamplingSpec
from fouls.cache.store import Store
from fouls.errors import RunError
from fouls.heads.evaluate import evaluate
from fouls.heads.keypoints import MOUSE_KEYPOINTS
from fouls.heads.prepare import prepare
from fouls.heads.run import load_run
from fouls.heads.run_options import RunOptions
from fouls.heads.train_head import train_head
from tests.heads.worlds import Clip, Video, make_manifest, make_store

FIRST, COUNT, CLASSES = 40, 24, ("rest", "lick", "walk")
"""Each trial is the window [40, 64) of a longer video."""


def poses(behaviour: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(frames, 6, 3): the mouth is far from the tail when the mouse walks, and near its paws when it licks."""
    points = rng.uniform(0.45, 0.55, (len(behaviour), 6, 3)).astype(np.float32)
    points[..., 2] = 0.99
    points[:, 0, 0] += np.array([0.0, 0.15, 0.35], np.float32)[behaviour]
    points[:, 2:, 1] += np.array([0.0, 0.3, 0.0], np.float32)[behaviour][:, None]
    return points


def trials(count: int = 24) -> list[Video]:
    """Trials whose features say nothing: only the pose, frame by frame, tells the behaviour."""
    rng = np.random.default_rng(0)
    videos = []
    for number in range(count):
        behaviour = np.repeat(rng.integers(0, 3, COUNT // 4), 4)
        before = rng.integers(0, 3, FIRST)  # what happens before the window, which would be wrong labels in it
        keypoints = np.concatenate([poses(before, rng), poses(behaviour, rng)])
        keypoints[FIRST + 1, 3] = (np.nan, np.nan, 0.0)
        videos.append(
            Video(
                video_id=f"mouse/{number}",
                split=("train", "train", "valid", "test")[number % 4],
                clips=[
                    Clip(
                        features={"mean": rng.standard_normal(6)},
                        frames=tuple(np.linspace(FIRST, FIRST + COUNT - 1, 16).astype(int)),
                    )
                ],
                frame_labels={"behaviour": [*[-1] * FIRST, *behaviour.tolist()]},
                keypoints=keypoints,
                num_frames=FIRST + COUNT,
            )
        )
    return videos


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, list[Video]]:
    folder, videos = tmp_path_factory.mktemp("mice"), trials()
    sampling = SamplingSpec(kind="uniform", num_frames=16)
    return folder, make_store(folder / "store", videos, sampling=sampling), videos


def test_the_pose_tells_what_the_features_do_not(world: tuple[Path, Store, list[Video]]) -> None:
    folder, store, videos = world
    manifest = make_manifest(videos, {"behaviour": CLASSES}, frame_tasks=["behaviour"], keypoints=MOUSE_KEYPOINTS)
    options = RunOptions.from_dict(
        {
            "head": {"name": "tcn", "hidden": 32, "keypoints": True},
            "train": {"epochs": 20, "batch_size": 4, "lr": 1e-2, "ema_decay": 0.9},
            "loss": {"kind": "focal", "focal_gamma": 2.5, "class_weights": "inverse", "smoothness": "l1"},
            "pose": "mouse",
        }
    )
    prepared = prepare(store, manifest, options, manifest_path="m")
    form = prepared.config.form
    assert (form.widths, form.num_steps, form.pose_width, form.num_keypoints) == ((6, 18), COUNT, 18, 6)
    first = prepared.samples.frames
    assert first is not None
    assert first.first.tolist() == [FIRST] * len(prepared.samples)
    trained = train_head(prepared, out=folder / "runs", name="mouse")
    run = load_run(folder / "runs" / "mouse")
    result = evaluate(run, store, manifest, split="test")
    scores = result.scores["behaviour"]
    assert scores["labelled"] == COUNT * sum(video.split == "test" for video in videos)
    assert scores["macro_f1"] > 0.9
    assert scores["macro_f1_with_thresholds"] > 0.9
    assert result.keypoint_mae is not None
    assert result.keypoint_mae < 0.1  # a constant guess at the centre misses by more than the pose moves
    assert run.thresholds == trained.metrics["thresholds"]
    assert json.loads((run.path / "metrics_test.json").read_text())["keypoint_mae"] == result.keypoint_mae
    frames = next(each.frames for each in result.predictions)
    assert frames is not None
    assert (int(frames.min()), int(frames.max())) == (FIRST, FIRST + COUNT - 1)
    with pytest.raises(RunError, match="reads the pose of a manifest's keypoints"):
        run.predict(np.zeros((1, 6), np.float32), store.rows())


def test_without_the_pose_there_is_nothing_to_learn(world: tuple[Path, Store, list[Video]]) -> None:
    folder, store, videos = world
    manifest = make_manifest(videos, {"behaviour": CLASSES}, frame_tasks=["behaviour"])
    options = RunOptions.from_dict({"head": "linear", "train": {"epochs": 10, "lr": 1e-2}})
    trained = train_head(prepare(store, manifest, options, manifest_path="m"), out=folder / "runs")
    assert trained.scores["valid"]["behaviour"]["balanced_accuracy"] < 0.55
