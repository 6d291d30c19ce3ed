"""Evaluation of a run: files, refusals, and the official MVFoul file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fouls.cache.store import Store
from fouls.errors import RunError, SpecMismatchError
from fouls.heads.evaluate import evaluate
from fouls.heads.predictions import Predictions
from fouls.heads.prepare import RunOptions, prepare
from fouls.heads.run import Run
from fouls.heads.submissions import is_mvfoul, mvfoul_submission
from fouls.heads.tasks import Task
from fouls.heads.train import TrainConfig
from fouls.heads.train_head import train_head
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
        "metrics_test.json",
    ]
    metrics = json.loads((run.path / "metrics_test.json").read_text())
    assert metrics == {"split": "test", "samples": 20, "tasks": result.scores}
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


def test_the_official_file_reads_like_the_evaluators_own(shared: Path) -> None:
    sample = json.loads((shared / "mvfoul" / "evaluator" / "dev_full" / "predictions.json").read_text())
    known = {(entry["Offence"], entry["Severity"]) for entry in sample["Actions"].values()}
    one_each = np.arange(4)
    predictions = [
        _certain("action", ACTION_CLASSES, one_each),
        _certain("offence_severity", OFFENCE_SEVERITY_CLASSES, one_each),
    ]
    ours = mvfoul_submission(predictions, "test")
    assert ours.keys() == sample.keys()
    assert {(entry["Offence"], entry["Severity"]) for entry in ours["Actions"].values()} == known
    assert {entry["Action class"] for entry in sample["Actions"].values()} <= set(ACTION_CLASSES)


def _certain(name: str, classes: tuple[str, ...], predicted: np.ndarray[Any, Any]) -> Predictions:
    return Predictions(
        task=Task(name=name, classes=classes),
        sample_ids=np.array([f"test/action_{number}" for number in range(len(predicted))], object),
        labels=np.full(len(predicted), -1),
        probabilities=np.eye(len(classes), dtype=np.float32)[predicted],
    )


def test_ids_without_a_number_are_refused() -> None:
    predictions = [_certain(name, classes, np.zeros(1, int)) for name, classes in MVFOUL.items()]
    predictions[0].sample_ids[0] = "elsewhere"
    with pytest.raises(RunError, match="sample 'elsewhere' has no action number"):
        mvfoul_submission(predictions, "test")


def test_the_classes_are_those_of_the_manifest_builder() -> None:
    from fouls.manifests.builders import mvfoul

    tasks = [Task(name=name, classes=tuple(classes)) for name, classes in mvfoul.TASKS.items()]
    assert is_mvfoul(tasks)
    assert not is_mvfoul(tasks[:1])
