"""Training: how it starts, stops and is repeated. What heads learn is in ``test_every_head_learns``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fouls.cache.store import open_store
from fouls.errors import ConfigError, RunError
from fouls.heads.batch import InputForm
from fouls.heads.determinism import choose_device, deterministic
from fouls.heads.evaluate import evaluate
from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.predictions import predict, reduced
from fouls.heads.prepare import prepare, split_samples
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import samples_from_rows
from fouls.heads.tasks import Task
from fouls.heads.train import Best, fit
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import Trained, train_head
from fouls.heads.training.schedule import learning_rate_factor
from tests.heads.test_samples import rows_of
from tests.heads.worlds import BLOB_TASKS, Clip, Video, blobs, make_manifest, make_store

CPU = torch.device("cpu")
SPLITS = {"train": 180, "valid": 45, "test": 90}


def train_on(folder: Path, videos: list[Video], head: str, **options: Any) -> Trained:
    store, manifest = make_store(folder / "store", videos), make_manifest(videos, BLOB_TASKS)
    chosen = RunOptions(
        head=make_head_config(head, options.pop("head_options", {})),
        train=TrainConfig(**{"epochs": 60, "lr": 1e-2, **options.pop("train_options", {})}),
        **options,
    )
    return train_head(prepare(store, manifest, chosen, manifest_path="manifests"), out=folder / "runs")


def on_test(folder: Path, trained: Trained, videos: list[Video]) -> dict[str, float]:
    """Task → balanced accuracy on the test split."""
    result = evaluate(trained.run, open_store(folder / "store"), make_manifest(videos, BLOB_TASKS), split="test")
    return {task: scores["balanced_accuracy"] for task, scores in result.scores.items()}


def build(name: str, options: dict[str, Any], form: InputForm, tasks: tuple[Task, ...]) -> Head:
    return make_head_config(name, options).resolved(form, tasks).build(form, tasks)


def test_motion_is_in_the_spread_not_in_the_mean(tmp_path: Path) -> None:
    videos = blobs(SPLITS)
    scores = {}
    for pooling in ("mean", "std"):
        folder = tmp_path / pooling
        trained = train_on(folder, videos, "linear", pools=("temporal",), head_options={"time_pooling": pooling})
        scores[pooling] = on_test(folder, trained, videos)
    assert scores["mean"]["look"] > 0.9
    assert scores["mean"]["move"] < 0.5
    assert scores["std"]["move"] > 0.9
    assert scores["std"]["look"] < 0.5


def test_a_seed_repeats_the_run_and_leaves_the_world_alone(tmp_path: Path) -> None:
    videos = blobs({"train": 40, "valid": 20})
    torch.manual_seed(123)
    state = torch.get_rng_state()
    weights = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained = train_on(tmp_path / name, videos, "tcn", train_options={"epochs": 3, "seed": seed})
        weights[name] = {
            file: (trained.run.path / file).read_bytes()
            for file in ("weights.safetensors", "history.csv", "predictions.parquet", "metrics.json")
        }
    assert weights["a"] == weights["b"]
    assert weights["a"]["weights.safetensors"] != weights["c"]["weights.safetensors"]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_deterministic_puts_everything_back_after_an_error() -> None:
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    with contextlib.suppress(ZeroDivisionError), deterministic(0, CPU):
        torch.rand(3)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_early_stopping_restores_the_best_weights(tmp_path: Path) -> None:
    videos = blobs({"train": 30, "valid": 30}, signal=0.0)  # valid does not get better for long
    trained = train_on(tmp_path, videos, "mlp", train_options={"epochs": 200, "patience": 5})
    assert trained.fit.stopped_early
    assert len(trained.fit.history) == trained.fit.best_epoch + 5
    best = trained.fit.history[trained.fit.best_epoch - 1]
    for task in BLOB_TASKS:
        restored = trained.scores["valid"][task]["balanced_accuracy"]
        assert restored == pytest.approx(best[f"valid/{task}/balanced_accuracy"])


def test_of_equal_accuracies_the_lower_loss_is_better() -> None:
    best = Best()
    head = build("linear", {}, InputForm(widths=(2,)), (Task(name="a", classes=("x", "y")),))
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 0.9), (0.4, 0.1), (0.5, 0.95)], start=1):
        best.offer(
            {"valid/loss": loss, "valid/a/balanced_accuracy": accuracy, "train/a/balanced_accuracy": 1}, epoch, head
        )
    assert best.epoch == 2


def test_without_valid_all_epochs_are_trained(tmp_path: Path) -> None:
    trained = train_on(tmp_path, blobs({"train": 20}), "linear", train_options={"epochs": 7, "patience": 1})
    assert len(trained.fit.history) == trained.fit.best_epoch == 7
    assert not trained.fit.stopped_early
    assert list(trained.scores) == ["train"]


def test_a_share_is_set_aside_by_the_seed(tmp_path: Path) -> None:
    videos = blobs({"train": 40, "test": 5})
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, BLOB_TASKS)

    def sizes(seed: int, fraction: float) -> tuple[list[int], list[int]]:
        options = RunOptions(train=TrainConfig(valid_fraction=fraction, seed=seed))
        prepared = prepare(store, manifest, options, manifest_path="m")
        return prepared.train.tolist(), prepared.valid.tolist()

    train, valid = sizes(0, 0.25)
    assert len(valid) == 10
    assert sorted(train + valid) == list(range(40))
    assert sizes(0, 0.25) == (train, valid)
    assert sizes(1, 0.25)[1] != valid
    with pytest.raises(ConfigError, match="but the manifest has a split 'test' with 5 samples"):
        prepare(
            store,
            manifest,
            RunOptions(train=TrainConfig(valid_fraction=0.5), valid_split="test"),
            manifest_path="m",
        )


def test_a_task_without_labels_to_train_on_is_named(tmp_path: Path) -> None:
    features = {"mean": np.zeros(3)}
    videos = [
        Video(video_id="a", labels={"look": 0}, clips=[Clip(features=features)]),
        Video(video_id="b", labels={"move": 0}, clips=[Clip(features=features)], split="valid"),
    ]
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, BLOB_TASKS)
    with pytest.raises(RunError, match="no sample of split 'train' has features and a label of task 'move'"):
        prepare(store, manifest, RunOptions(), manifest_path="m")


def test_tasks_are_masked_where_their_label_is_missing() -> None:
    """A sample without a label of one task trains the other: the result is that of the labels that are there."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 1, 4)).astype(np.float32)
    truth = torch.from_numpy((values[:, 0, 0] > 0).astype(np.int64))
    tasks = (Task(name="a", classes=("n", "p")), Task(name="b", classes=("n", "p")))
    samples = samples_from_rows(values, rows_of(*((str(i), str(i), 0, 0, 0) for i in range(60))), clips_are_steps=False)
    samples.labels.update(a=truth.clone(), b=(1 - truth).clone())
    samples.labels["a"][::2] = -1
    samples.labels["b"][1::2] = -1
    with deterministic(0, CPU):
        head: Head = build("mlp", {"hidden": 16}, InputForm(widths=(4,)), tasks)
        fit(head, reduced(head, samples), None, tasks, TrainConfig(epochs=60, lr=1e-2), LossConfig())
    a, b = predict(head, reduced(head, samples), tasks)
    assert (a.classes == truth.numpy()).mean() > 0.9  # also where the label was not there
    assert (b.classes == 1 - truth.numpy()).mean() > 0.9


def test_frames_are_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((3, 6))
    videos = []
    for split, count in (("train", 20), ("valid", 6), ("test", 6)):
        for number in range(count):
            truth = np.repeat(rng.integers(0, 3, 4), 8)  # classes of 32 frames, in runs of 8
            steps = centres[truth[1::4]] + rng.standard_normal((8, 6))  # a step sees 4 frames
            labels = truth.tolist()
            labels[:3] = [-1] * 3
            clip = Clip(features={"temporal": steps}, frames=range(0, 32, 2))
            name = f"{split}{number}"
            videos.append(Video(video_id=name, split=split, clips=[clip], num_frames=32, frame_labels={"do": labels}))
    tasks = {"do": ["rest", "walk", "lick"]}
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, tasks, frame_tasks=["do"])
    smalls: dict[str, dict[str, Any]] = {
        "linear": {},
        "tcn": {"hidden": 32},
        "ms_tcn": {"num_stages": 2, "num_layers": 3, "dropout": 0.1},
    }
    for head, small in smalls.items():
        options = RunOptions(head=make_head_config(head, small), train=TrainConfig(epochs=40, lr=1e-2))
        prepared = prepare(store, manifest, options, manifest_path="m")
        trained = train_head(prepared, out=tmp_path / "runs", name=head)
        result = evaluate(trained.run, store, manifest, split="test")
        assert result.scores["do"]["labelled"] == 6 * 29
        assert result.scores["do"]["balanced_accuracy"] > 0.9
        [predictions] = result.predictions
        assert predictions.frames is not None
        assert predictions.frames[:32].tolist() == list(range(32))  # frames without a label are predicted too


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    videos = blobs({"train": 20})
    with pytest.raises(RunError, match=r"the loss is not finite in epoch .* lower --lr than 1e\+30"):
        train_on(tmp_path, videos, "mlp", train_options={"epochs": 5, "lr": 1e30})
    assert not (tmp_path / "runs" / "store-mlp-1" / "metrics.json").exists()


def test_schedule() -> None:
    factors = [learning_rate_factor(step, warmup_steps=4, total_steps=20, kind="cosine") for step in range(20)]
    assert factors[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factors[4] == 1
    assert factors[12] == pytest.approx(0.5)
    assert sorted(factors[4:], reverse=True) == factors[4:]
    assert 0 < factors[-1] < 0.02


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs is 0; allowed: 1 to"),
        ("lr", 0.0, "learning rate is 0; it must be greater than 0"),
        ("valid_fraction", 0.95, "valid fraction is 0.95; allowed: 0 to 0.9"),
    ],
)
def test_values_are_checked(field: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{field: value})


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    with pytest.raises(ConfigError, match="device 'cuda:99' is not here; there are auto, cpu"):
        choose_device("cuda:99")


def test_samples_of_other_splits_are_not_trained_on(tmp_path: Path) -> None:
    videos = blobs({"train": 10, "valid": 5, "test": 5})
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, BLOB_TASKS)
    prepared = prepare(store, manifest, RunOptions(), manifest_path="m")
    assert set(prepared.samples.splits) == {"train", "valid"}  # test is not even read
    train, valid = split_samples(prepared.samples, prepared.config.tasks, RunOptions())
    assert set(prepared.samples.splits[train]) == {"train"}
    assert set(prepared.samples.splits[valid]) == {"valid"}
