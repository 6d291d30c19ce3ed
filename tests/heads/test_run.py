"""A run's folder: what is in it, that it loads, and that half of one does not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fouls.cache.store import open_store
from fouls.errors import ConfigError, RunError
from fouls.heads.batch import Batch
from fouls.heads.head import Head
from fouls.heads.prepare import prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run import Run, load_run
from fouls.heads.run_folder import create_folder
from fouls.heads.run_options import RunOptions
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import Trained, train_head
from tests.heads.worlds import BLOB_TASKS, Clip, Video, blobs, make_manifest, make_store

VIDEOS = blobs({"train": 30, "valid": 12}, views=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("world")
    store, manifest = make_store(folder / "videomae", VIDEOS), make_manifest(VIDEOS, BLOB_TASKS)
    options = RunOptions(
        head=make_head_config("tcn", {"hidden": 16, "view_pooling": "attention"}), train=TrainConfig(epochs=4)
    )
    return train_head(prepare(store, manifest, options, manifest_path=folder / "manifests"), out=folder / "runs")


def test_everything_is_in_the_folder(trained: Trained) -> None:
    path = trained.run.path
    assert path.name == "videomae-tcn-1"
    names = {file.name for file in path.iterdir() if "tfevents" not in file.name}
    assert names == {
        "config.json",
        "weights.safetensors",
        "history.csv",
        "options.yaml",
        "metrics.json",
        "predictions.parquet",
        "curves.png",
        *(f"confusion_{task}_{split}.png" for task in BLOB_TASKS for split in ("train", "valid")),
    }
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics == trained.metrics
    assert metrics["splits"]["valid"]["look"]["labelled"] == 12
    assert metrics["parameters"] == sum(parameter.numel() for parameter in trained.run.head.parameters())


def test_the_history_has_a_line_an_epoch_and_tensorboard_the_same(trained: Trained) -> None:
    with (trained.run.path / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["epoch"] for line in lines] == ["1", "2", "3", "4"]
    losses = [scores["valid/loss"] for scores in trained.fit.history]
    assert [float(line["valid/loss"]) for line in lines] == losses
    events = EventAccumulator(str(trained.run.path)).Reload()
    assert [event.value for event in events.Scalars("valid/loss")] == pytest.approx(losses)
    assert [event.step for event in events.Scalars("train/look/accuracy")] == [1, 2, 3, 4]


def test_predictions_are_a_table(trained: Trained) -> None:
    table = pq.read_table(trained.run.path / "predictions.parquet")
    assert table.num_rows == (30 + 12) * 2
    assert json.loads(table.schema.metadata[b"fouls.tasks"]) == {
        task: list(names) for task, names in BLOB_TASKS.items()
    }
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["sample_id"], first["split"], first["task"], first["label"]) == ("train/0", "train", "look", 0)
    assert first["prediction"] == int(np.argmax(first["probabilities"]))
    assert sum(first["probabilities"]) == pytest.approx(1)
    assert first["frame"] is None
    valid = [row for row in table.to_pylist() if row["split"] == "valid" and row["task"] == "move"]
    accuracy = np.mean([row["label"] == row["prediction"] for row in valid])
    assert accuracy == trained.scores["valid"]["move"]["accuracy"]


def test_a_run_loads_as_it_was(trained: Trained) -> None:
    run = load_run(trained.run.path)
    assert run.config == trained.run.config
    assert run.config.head.time_pooling == "mean"  # resolved
    for name, tensor in trained.run.head.state_dict().items():
        assert torch.equal(run.head.state_dict()[name], tensor)
    assert not run.head.training


def test_a_loaded_run_predicts_from_bare_features(trained: Trained) -> None:
    """What predicting on a new video needs: features, their rows, and nothing of the store or the manifest."""
    run = load_run(trained.run.path)
    store = open_store(run.config.stores[0].path)
    rows = store.rows()
    results = run.predict(store["temporal"][:].astype(np.float32), rows)  # type: ignore[union-attr]
    expected = pq.read_table(run.path / "predictions.parquet").to_pylist()
    for prediction in results:
        known = {row["sample_id"]: row["probabilities"] for row in expected if row["task"] == prediction.task.name}
        assert list(prediction.sample_ids) == list(known)
        np.testing.assert_allclose(prediction.probabilities, list(known.values()), atol=1e-6)
        assert (prediction.labels == -1).all()
    with pytest.raises(RunError, match=r"features have shape \(12,\) a row; .* was trained on \(4, 12\)"):
        run.predict(np.zeros((3, 12), np.float32), rows.slice(0, 3))


def test_a_frame_head_predicts_every_frame_of_bare_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [Clip(features={"temporal": rng.standard_normal((8, 4))}) for _ in range(6)]
    videos = [
        Video(video_id=f"v{number}", clips=[clip], frame_labels={"do": [0] * 8 + [1] * 8})
        for number, clip in enumerate(clips)
    ]
    manifest = make_manifest(videos, {"do": ["a", "b"]}, frame_tasks=["do"])
    options = RunOptions(head=make_head_config("tcn", {"hidden": 16}), train=TrainConfig(epochs=1))
    prepared = prepare(make_store(tmp_path / "store", videos), manifest, options, manifest_path="m")
    run = load_run(train_head(prepared, out=tmp_path / "runs").run.path)
    store = open_store(tmp_path / "store")
    [predictions] = run.predict(store["temporal"][:], store.rows())  # type: ignore[arg-type]
    assert predictions.frames is not None
    assert predictions.video_ids is not None
    assert predictions.frames.tolist() == list(range(16)) * 6
    assert list(predictions.video_ids[::16]) == [f"v{number}" for number in range(6)]


def copy(run: Run, folder: Path, *files: str) -> Path:
    """Some files of a run."""
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_bytes((run.path / file).read_bytes())
    return folder


def test_a_run_that_is_not_whole_is_not_loaded(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run at .*missing: `fouls train-head .*; .*runs has videomae-tcn-1"):
        load_run(trained.run.path.parent / "missing")
    half = copy(trained.run, tmp_path / "half", "config.json", "weights.safetensors")
    with pytest.raises(RunError, match="was not finished: train it again with --name half --overwrite"):
        load_run(half)
    damaged = copy(trained.run, tmp_path / "damaged", "config.json", "metrics.json")
    (damaged / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"can't be read .*: train it again"):
        load_run(damaged)


def test_a_crash_leaves_nothing_that_looks_finished(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise MemoryError

    store, manifest = make_store(tmp_path / "store", VIDEOS), make_manifest(VIDEOS, BLOB_TASKS)
    prepared = prepare(store, manifest, RunOptions(train=TrainConfig(epochs=2)), manifest_path="m")
    finished = train_head(prepared, out=tmp_path / "runs", name="mine").run.path
    with pytest.raises(MemoryError):
        train_head(prepared, out=tmp_path / "runs", name="mine", overwrite=True, on_epoch=crash)
    assert not (finished / "metrics.json").exists()
    with pytest.raises(RunError, match="was not finished"):
        load_run(finished)
    train_head(prepared, out=tmp_path / "runs", name="mine", overwrite=True)
    assert load_run(finished).config == prepared.config


def test_names(tmp_path: Path) -> None:
    assert create_folder(tmp_path, None, "vm-mlp", overwrite=False).name == "vm-mlp-1"
    assert create_folder(tmp_path, None, "vm-mlp", overwrite=False).name == "vm-mlp-2"
    taken = create_folder(tmp_path, "mine", "vm-mlp", overwrite=False)
    (taken / "config.json").write_text("{}")
    with pytest.raises(RunError, match="mine is there already: choose another --name, or --overwrite it"):
        create_folder(tmp_path, "mine", "vm-mlp", overwrite=False)
    create_folder(tmp_path, "mine", "vm-mlp", overwrite=True)
    assert not (taken / "config.json").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(RunError, match="photos is there and is no run"):
        create_folder(tmp_path, "photos", "vm-mlp", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").exists()
    for name in ("../mine", "a/b", "..", ""):
        with pytest.raises(ConfigError, match="allowed are letters"):
            create_folder(tmp_path, name, "vm-mlp", overwrite=True)


def test_heads_are_modules_that_need_nothing_else(trained: Trained) -> None:
    run = load_run(trained.run.path)
    assert isinstance(run.head, Head)
    logits = run.head(
        Batch(
            x=torch.zeros(2, 3, 4, 12),
            mask=torch.ones(2, 3, 4, dtype=torch.bool),
            view_kinds=torch.zeros(2, 3, dtype=torch.int64),
        )
    ).logits
    assert {task: tuple(values.shape) for task, values in logits.items()} == {"look": (2, 3), "move": (2, 3)}
