"""Evaluation of a run: files, refusals, and the official MVFoul file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from fouls.cache.store import Store
from fouls.errors import RunError, SpecMismatchError
from fouls.heads.evaluate import evaluate
from fouls.heads.prepare import prepare
from fouls.heads.run import Run
from fouls.heads.run_options import RunOptions
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import train_head
from fouls.manifests.builders.ma52 import BODY_CLASSES, FINE_TO_COARSE
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES
from tests.heads.worlds import BLOB_TASKS, Clip, Video, blobs, make_manifest, make_store

MVFOUL = {"action": ACTION_CLASSES, "offence_severity": OFFENCE_SEVERITY_CLASSES}


def train(folder: Path, videos: list[Video], tasks: Any = BLOB_TASKS) -> tuple[Run, Store]:
    store, manifest = make_store(folder / "store", videos), make_manifest(videos, tasks)
    prepared = prepare(store, manifest, RunOptions(train=TrainConfig(epochs=5)), manifest_path="m")
    return train_head(prepared, out=folder / "runs").run, store


def test_files_of_a_split(tmp_path: Path) -> None:
    videos = blobs({"train": 30, "test": 20})
    run, store = train(tmp_path, videos)
    result = evaluate(run, store, make_manifest(videos, BLOB_TASKS), split="test")
    assert [file.name for file in result.files] == [
        "predictions_test.parquet",
        "confusion_look_test.png",
        "confusion_move_test.png",
        "f1_look_test.png",
        "reliability_look_test.png",
        "f1_move_test.png",
        "reliability_move_test.png",
        "metrics_test.json",
    ]
    metrics = json.loads((run.path / "metrics_test.json").read_text())
    assert metrics == {"split": "test", "samples": 20, "tasks": result.scores, "challenges": {}}
    assert pq.read_table(run.path / "predictions_test.parquet").num_rows == 40


def test_the_order_and_company_of_samples_do_not_matter(tmp_path: Path) -> None:
    videos = blobs({"train": 30, "test": 20})
    run, store = train(tmp_path, videos)
    forward = evaluate(run, store, make_manifest(videos, BLOB_TASKS), split="test").predictions[0]
    backward = evaluate(run, store, make_manifest(videos[::-1][:10], BLOB_TASKS), split="test").predictions[0]
    assert list(backward.sample_ids) == list(forward.sample_ids)[::-1][:10]
    np.testing.assert_allclose(backward.probabilities, forward.probabilities[::-1][:10], atol=1e-6)


def test_samples_without_labels_get_predictions(tmp_path: Path) -> None:
    videos = blobs({"train": 30})
    clip = Clip(features=videos[0].clips[0].features)
    videos += [
        Video(video_id="dropped", split="test", clips=[clip]),
        Video(video_id="kept", split="test", clips=[clip], labels={"look": 1}),
        Video(video_id="secret", split="challenge", clips=[clip]),
    ]
    run, store = train(tmp_path, videos)
    result = evaluate(run, store, make_manifest(videos, BLOB_TASKS), split="test")
    assert result.num_samples == 2
    assert (result.scores["look"]["labelled"], result.scores["move"]["labelled"]) == (1, 0)
    table = pq.read_table(run.path / "predictions_test.parquet")
    assert table["label"].to_pylist() == [None, 1, None, None]
    assert not (run.path / "confusion_move_test.png").exists()
    assert evaluate(run, store, make_manifest(videos, BLOB_TASKS), split="challenge").num_samples == 1


def test_another_spec_is_refused_with_what_differs(tmp_path: Path) -> None:
    videos = blobs({"train": 20, "test": 5})
    run, _ = train(tmp_path, videos)
    other = make_store(tmp_path / "other", videos, seed=7, precision="bf16")
    with pytest.raises(SpecMismatchError) as caught:
        evaluate(run, other, make_manifest(videos, BLOB_TASKS), split="test")
    assert "precision 'bf16' instead of 'fp32', weights.random_seed 7 instead of 0" in str(caught.value)
    assert f"give --features {tmp_path / 'store'}" in str(caught.value)


def test_other_classes_are_refused_and_a_task_that_lacks_is_not_scored(tmp_path: Path) -> None:
    videos = blobs({"train": 20, "test": 5})
    run, store = train(tmp_path, videos)
    renamed = {**BLOB_TASKS, "look": ["red", "green", "violet"]}
    with pytest.raises(RunError, match="task 'look' has the classes red, green, violet in the manifest"):
        evaluate(run, store, make_manifest(videos, renamed), split="test")
    result = evaluate(run, store, make_manifest(videos, {"move": BLOB_TASKS["move"]}), split="test")
    assert result.scores["look"]["labelled"] == 0
    assert result.scores["move"]["labelled"] == 5


def test_the_official_file_of_mvfoul(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = [
        Video(
            video_id=f"{split}/action_{number}/clip_{view}",
            sample_id=f"{split}/action_{number}",
            view=view,
            split=split,
            labels={"action": number % 8, "offence_severity": number % 4} if number != 3 else {},
            clips=[Clip(features={"mean": rng.standard_normal(6)})],
        )
        for split, count in (("train", 40), ("test", 12))
        for number in range(count)
        for view in range(2)
    ]
    run, store = train(tmp_path, videos, MVFOUL)
    result = evaluate(run, store, make_manifest(videos, MVFOUL), split="test")
    assert run.path / "mvfoul_test.json" in result.files
    written = json.loads((run.path / "mvfoul_test.json").read_text())
    assert written["Set"] == "test"
    assert list(written["Actions"]) == [str(number) for number in range(12)]  # unlabelled ones too, by number
    action, offence = result.predictions
    for number in range(12):
        entry = written["Actions"][str(number)]
        assert entry["Action class"] == ACTION_CLASSES[action.classes[number]]
        severity = ["", "1.0", "3.0", "5.0"][offence.classes[number]]
        assert entry["Severity"] == severity
        assert entry["Offence"] == ("Offence" if severity else "No offence")
    balanced = [result.scores[task]["balanced_accuracy"] for task in ("offence_severity", "action")]
    assert result.challenges["mvfoul"]["leaderboard_value"] == pytest.approx(50 * sum(balanced))
    assert json.loads((run.path / "metrics_test.json").read_text())["challenges"] == result.challenges


def test_the_files_of_ma52(tmp_path: Path) -> None:
    tasks = {"action": [f"class {number}" for number in range(52)], "body": list(BODY_CLASSES)}
    rng = np.random.default_rng(0)
    videos = [
        Video(
            video_id=f"{split}{number:04}",
            split=split,
            labels={"action": number % 52, "body": FINE_TO_COARSE[number % 52]} if split != "test" else {},
            clips=[Clip(features={"mean": rng.standard_normal(6)})],
        )
        for split, count in (("train", 104), ("other", 60), ("test", 7))
        for number in range(count)
    ]
    run, store = train(tmp_path, videos, tasks)
    names = [f"ma52_test_{kind}.csv" for kind in ("2024", "codabench")]
    without_labels = evaluate(run, store, make_manifest(videos, tasks), split="test")
    assert set(names) <= {file.name for file in without_labels.files}
    lines = [(run.path / name).read_text().splitlines() for name in names]
    assert [content[1].split(",")[0] for content in lines] == ["test0000.mp4"] * 2
    assert [len(content) for content in lines] == [8, 8]
    assert without_labels.challenges == {}
    fine = evaluate(run, store, make_manifest(videos, tasks), split="other")
    labels, classes = fine.predictions[0].labels, fine.predictions[0].classes
    assert fine.challenges["ma52"]["fine_macro_f1"] == pytest.approx(100 * f1_score(labels, classes, average="macro"))
    assert json.loads((run.path / "metrics_other.json").read_text())["challenges"] == fine.challenges


def test_frames_are_scored_as_segments_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = []
    for number in range(12):
        labels = np.repeat(rng.permutation(3), [5, 4, 7])
        steps = np.eye(3)[labels[::2]] + 0.1 * rng.standard_normal((8, 3))  # a step every other frame
        videos.append(
            Video(
                video_id=f"v{number}",
                split="train" if number < 8 else "test",
                frame_labels={"pose": labels.tolist()},
                clips=[Clip(features={"temporal": steps})],
            )
        )
    tasks = {"pose": ["sit", "stand", "lie"]}
    store = make_store(tmp_path / "store", videos)
    manifest = make_manifest(videos, tasks, frame_tasks=["pose"])
    options = RunOptions(train=TrainConfig(epochs=40, lr=0.01))
    run = train_head(prepare(store, manifest, options, manifest_path="m"), out=tmp_path / "runs").run
    scores = evaluate(run, store, manifest, split="test").scores["pose"]
    assert scores["segments"]["videos"] == 4
    assert scores["segments"]["accuracy"] == pytest.approx(100 * scores["accuracy"])
    assert scores["segments"]["f1@50"] > 80
