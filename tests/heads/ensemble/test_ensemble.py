"""Ensembles of trained runs: what is averaged, what is fitted, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fouls.cache.store import Store
from fouls.errors import ConfigError, RunError
from fouls.heads.ensemble.config import Ensemble, load_ensemble
from fouls.heads.ensemble.evaluate import evaluate_ensemble, load_members
from fouls.heads.ensemble.make import Weighting, choose_weights, write_ensemble
from fouls.heads.ensemble.members import Evaluate
from fouls.heads.ensemble.weights import fit_weights
from fouls.heads.evaluate import evaluate
from fouls.heads.predictions import Predictions
from fouls.heads.prepare import prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run import Run, load_run
from fouls.heads.run_options import RunOptions
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import train_head
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES
from tests.heads.worlds import BLOB_TASKS, Clip, Video, blobs, make_manifest, make_store

MVFOUL = {"action": ACTION_CLASSES, "offence_severity": OFFENCE_SEVERITY_CLASSES}


class World:
    """Two runs with different heads on different stores."""

    def __init__(self, folder: Path, videos: list[Video], tasks: Any = BLOB_TASKS, lacking: set[str] | None = None):
        self.folder, self.videos, self.tasks = folder, videos, tasks
        kept = [video for video in videos if video.video_id not in (lacking or ())]
        self.stores: dict[str, Store] = {
            "mlp": make_store(folder / "one", videos),
            "linear": make_store(folder / "two", kept, seed=1),
        }
        self.manifest = make_manifest(videos, tasks)
        self.evaluated: list[tuple[str, str]] = []

    def train(self, head: str, *, seed: int = 0, valid_fraction: float = 0.0, **options: Any) -> Run:
        config = TrainConfig(epochs=3, seed=seed, valid_fraction=valid_fraction)
        options |= {"head": make_head_config(head, {}), "train": config}
        prepared = prepare(self.stores[head], self.manifest, RunOptions(**options), manifest_path="m")
        return train_head(prepared, out=self.folder / "runs", name=head, overwrite=True).run

    @property
    def evaluate(self) -> Evaluate:
        def as_trained(run: Run, split: str) -> list[Predictions]:
            self.evaluated.append((run.path.name, split))
            return evaluate(run, self.stores[run.path.name], self.manifest, split=split).predictions

        return as_trained

    def make(self, runs: list[Run], weighting: Weighting = "fitted") -> Ensemble:
        config = choose_weights(runs, weighting, split="valid", evaluate=self.evaluate)
        return write_ensemble(config, out=self.folder / "runs", name=None, overwrite=False)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tested elsewhere, and take most of the time."""
    monkeypatch.setattr("fouls.heads.evaluate.write_pictures", lambda *_: [])
    monkeypatch.setattr("fouls.heads.train_head.write_confusions", lambda *_: [])
    monkeypatch.setattr("fouls.heads.train_head.draw_curves", lambda *_: b"")


def probabilities(path: Path, task: str) -> dict[str, Any]:
    rows = pq.read_table(path, filters=[("task", "==", task)]).to_pylist()
    return {row["sample_id"]: np.array(row["probabilities"]) for row in rows}


def test_averages_and_weights_by_hand_and_test_does_not_change_them(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 30, "valid": 18, "test": 12}, signal=1.0))
    runs = [world.train("mlp"), world.train("linear")]
    made = world.make(runs)
    assert made.path.name == "ensemble-1"
    before = (made.path / "ensemble.json").read_bytes()
    result = evaluate_ensemble(made, runs, split="test", evaluate=world.evaluate)
    assert result.num_samples == 12
    for task in BLOB_TASKS:
        truths = {row["sample_id"]: row["label"] for row in valid_rows(runs[0], task)}
        each = [probabilities(run.path / "predictions_valid.parquet", task) for run in runs]
        of_truth = np.array([[of_run[sample][label] for sample, label in truths.items()] for of_run in each])
        weights = made.config.weights[task]
        np.testing.assert_allclose(weights, fit_weights(of_truth.astype(float)), atol=1e-9)
        first, second = (probabilities(run.path / "predictions_test.parquet", task) for run in runs)
        for sample, average in probabilities(made.path / "predictions_test.parquet", task).items():
            np.testing.assert_allclose(average, weights[0] * first[sample] + weights[1] * second[sample], atol=1e-6)
    assert made.config.weights["look"] != made.config.weights["move"]
    assert (made.path / "ensemble.json").read_bytes() == before
    assert load_ensemble(made.path) == made
    assert world.make(runs).config == made.config  # nothing is left to chance


def valid_rows(run: Run, task: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        run.path / "predictions_valid.parquet", filters=[("task", "==", task)]
    ).to_pylist()
    return rows


def test_what_is_saved_is_not_found_out_again(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 30, "valid": 9, "test": 9}))
    runs = [world.train("mlp"), world.train("linear")]
    evaluate(runs[1], world.stores["linear"], world.manifest, split="valid")
    made = world.make(runs)
    assert world.evaluated == [("mlp", "valid")]
    result = evaluate_ensemble(made, runs, split="valid", evaluate=world.evaluate)
    assert world.evaluated == [("mlp", "valid")]
    assert set(result.read) == {str(run.path) for run in runs}


def test_samples_that_a_run_lacks_are_counted_and_predicted_by_the_others(tmp_path: Path) -> None:
    videos = blobs({"train": 30, "valid": 18, "test": 12})
    world = World(tmp_path, videos, lacking={"test/3/view_0", "test/7/view_0", "valid/2/view_0"})
    runs = [world.train("mlp"), world.train("linear")]
    made = world.make(runs)
    result = evaluate_ensemble(made, runs, split="test", evaluate=world.evaluate)
    assert result.missing == {task: {str(runs[1].path): 2} for task in BLOB_TASKS}
    assert [entry.scores["labelled"] for entry in result.compared["look"]] == [10, 10, 10]
    assert (result.num_samples, result.scores["look"]["labelled"]) == (12, 12)
    alone, average = (probabilities(path / "predictions_test.parquet", "look") for path in (runs[0].path, made.path))
    np.testing.assert_allclose(average["test/3"], alone["test/3"], atol=1e-6)
    written = json.loads((made.path / "metrics_test.json").read_text())
    assert written["missing"] == result.missing
    assert [entry["name"] for entry in written["compared"]["look"]] == [*(str(run.path) for run in runs), "ensemble"]


def test_an_ensemble_that_is_worse_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 30, "valid": 18}))
    runs = [world.train("mlp"), world.train("linear")]
    made = world.make(runs, (1.0, 0.0))  # as good as its first run, so not better
    result = evaluate_ensemble(made, runs, split="valid", evaluate=world.evaluate)
    scores = {task: [entry.scores["balanced_accuracy"] for entry in result.compared[task]] for task in BLOB_TASKS}
    assert all(first == ensemble for first, _, ensemble in scores.values())
    assert set(result.not_better()) == set(BLOB_TASKS)
    for task, best in result.not_better().items():
        assert best.deciding_score == max(scores[task])


def test_a_split_that_a_run_was_trained_on_decides_no_weights(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 30, "valid": 18}))
    runs = [world.train("mlp"), world.train("linear", train_split="valid", valid_split="none")]
    with pytest.raises(ConfigError, match="linear was trained on split 'valid': fit the weights on another"):
        world.make(runs)


def test_without_labels_nothing_is_fitted(tmp_path: Path) -> None:
    videos = blobs({"train": 30})
    clip = Clip(features=videos[0].clips[0].features)
    videos += [Video(video_id="dark", split="valid", clips=[clip], labels={"move": 1})]
    world = World(tmp_path, videos)
    runs = [world.train("mlp", valid_split="none"), world.train("linear", valid_split="none")]
    with pytest.raises(RunError, match="split 'valid' has no label of task 'look' that all runs have a prediction"):
        world.make(runs)
    assert world.make(runs, "equal").config.weights == {"look": [0.5, 0.5], "move": [0.5, 0.5]}


def test_samples_set_aside_from_train_are_those_that_weights_are_fitted_on(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 40}))
    runs = [world.train(head, valid_fraction=0.3) for head in ("mlp", "linear")]
    made = world.make(runs)
    assert world.evaluated == []
    assert evaluate_ensemble(made, runs, split="valid", evaluate=world.evaluate).num_samples == 12


def test_ensembles_are_no_runs_and_a_run_that_was_trained_again_is_another_one(tmp_path: Path) -> None:
    world = World(tmp_path, blobs({"train": 30, "valid": 9}))
    runs = [world.train("mlp"), world.train("linear")]
    made = world.make(runs, "equal")
    assert [run.path for run in load_members(made, load_run)] == [run.path for run in runs]
    with pytest.raises(RunError, match="ensemble-1 is an ensemble"):
        load_run(made.path)
    assert write_ensemble(made.config, out=tmp_path / "runs", name="ensemble-1", overwrite=True) == made
    world.train("linear", seed=1)
    with pytest.raises(RunError, match=r"linear was trained again since .*ensemble-1 was made: `fouls ensemble "):
        load_members(made, load_run)


def test_the_files_of_a_challenge(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = [
        Video(
            video_id=f"{split}/action_{number}",
            split=split,
            labels={"action": number % 8, "offence_severity": number % 4},
            clips=[Clip(features={"mean": rng.standard_normal(6)})],
        )
        for split, count in (("train", 24), ("valid", 8), ("test", 8))
        for number in range(count)
    ]
    world = World(tmp_path, videos, MVFOUL, lacking={"test/action_5"})
    runs = [world.train("mlp"), world.train("linear")]
    made = world.make(runs)
    result = evaluate_ensemble(made, runs, split="test", evaluate=world.evaluate)
    written = json.loads((made.path / "mvfoul_test.json").read_text())
    assert list(written["Actions"]) == [str(number) for number in range(8)]
    action = result.predictions[0]
    for sample, index in zip(action.sample_ids, action.classes, strict=True):
        assert written["Actions"][sample.rpartition("_")[2]]["Action class"] == ACTION_CLASSES[index]
    assert result.challenges["mvfoul"].keys() >= {"leaderboard_value"}
