"""Tasks with any number of labels a sample: joined, learned, measured, and written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fouls.errors import ConfigError
from fouls.heads.evaluate import evaluate
from fouls.heads.losses import LossConfig, LossOverrides
from fouls.heads.prepare import prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import train_head
from tests.heads.worlds import Clip, Video, make_manifest, make_store

TASKS = {"moods": ["calm", "loud", "wet"], "place": ["in", "out"]}


def scenes(count: int = 90) -> list[Video]:
    """Each mood is a direction in the features; the tenth video of the test split says nothing."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((3, 8)) * 2
    videos = []
    for number in range(count):
        moods = np.flatnonzero(rng.random(3) < 0.4)
        features = directions[moods].sum(axis=0) + rng.standard_normal(8) / 4
        videos.append(
            Video(
                video_id=f"v{number}",
                clips=[Clip(features={"mean": features})],
                split=("train", "train", "valid", "test")[number % 4],
                labels={"place": number % 2},
                multi_labels={"moods": None if number == 39 else moods.tolist()},
            )
        )
    return videos


def test_a_multi_label_task_beside_another(tmp_path: Path) -> None:
    videos = scenes()
    store = make_store(tmp_path / "store", videos)
    manifest = make_manifest(videos, TASKS, multi_label_tasks=["moods"])
    options = RunOptions(
        head=make_head_config("linear", {"dropout": 0.0}),
        train=TrainConfig(epochs=40, lr=3e-2),
        loss=LossConfig(by_task={"moods": LossOverrides(kind="bce")}, label_smoothing=0.0),
    )
    prepared = prepare(store, manifest, options, manifest_path="m")
    first = prepared.samples.labels["moods"][0]
    assert first.tolist() == [int(mood in (videos[0].multi_labels["moods"] or ())) for mood in range(3)]
    trained = train_head(prepared, out=tmp_path / "runs")
    result = evaluate(trained.run, store, manifest, split="test")
    moods = result.scores["moods"]
    assert moods["labelled"] == sum(video.split == "test" for video in videos) - 1
    assert moods["mean_average_precision"] > 0.95
    assert trained.fit.history[-1]["valid/moods/mean_average_precision"] > 0.9
    table = pq.read_table(trained.run.path / "predictions_test.parquet").to_pylist()
    row = next(row for row in table if row["sample_id"] == "v3" and row["task"] == "moods")
    assert row["label"] is None
    assert row["labels"] == videos[3].multi_labels["moods"]
    assert next(row for row in table if row["sample_id"] == "v39" and row["task"] == "moods")["labels"] is None
    [predictions] = [each for each in result.predictions if each.task.name == "moods"]
    assert predictions.probabilities.sum(axis=1).max() > 1.2  # each class on its own


def test_a_class_that_never_occurs_is_learned_to_be_absent(tmp_path: Path) -> None:
    videos = [
        dataclasses.replace(
            video, multi_labels={"moods": [mood for mood in video.multi_labels["moods"] or () if mood != 2]}
        )
        for video in scenes()
    ]
    store = make_store(tmp_path / "store", videos)
    manifest = make_manifest(videos, {"moods": TASKS["moods"]}, multi_label_tasks=["moods"])
    options = RunOptions(
        head=make_head_config("linear", {"dropout": 0.0}),
        train=TrainConfig(epochs=30, lr=3e-2, batch_size=8),
        loss=LossConfig(kind="bce", label_smoothing=0.0),
        valid_split="none",  # all epochs: which of them is best says nothing of this class
    )
    trained = train_head(prepare(store, manifest, options, manifest_path="m"), out=tmp_path / "runs")
    [predictions] = evaluate(trained.run, store, manifest, split="test").predictions
    assert predictions.probabilities[:, 2].max() < 0.25  # 0.5 where nothing is learned


def test_it_needs_a_binary_loss(tmp_path: Path) -> None:
    videos = scenes(12)
    store = make_store(tmp_path / "store", videos)
    manifest = make_manifest(videos, TASKS, multi_label_tasks=["moods"])
    with pytest.raises(ConfigError, match=r"task 'moods' has any number of labels .*--loss bce"):
        prepare(store, manifest, RunOptions(), manifest_path="m")


def test_arcface_brings_its_output_along(tmp_path: Path) -> None:
    videos = scenes()
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, {"place": TASKS["place"]})
    loss = LossConfig(kind="arcface", arcface_scale=8.0)
    prepared = prepare(store, manifest, RunOptions(loss=loss), manifest_path="m")
    assert (prepared.config.head.output, prepared.config.head.output_scale) == ("arcface", 8.0)
    head = prepared.config.build_head().eval()
    logits = head(prepared.samples.gather(torch.arange(20))).logits["place"]
    assert logits.abs().max() <= 8.0
    wrong = make_head_config("mlp", {"output": "arcface_published"})
    with pytest.raises(ConfigError, match="the head's output is 'arcface_published'"):
        prepare(store, manifest, RunOptions(loss=loss, head=wrong), manifest_path="m")
    only = LossConfig(by_task={"place": LossOverrides(kind="arcface")})
    with pytest.raises(ConfigError, match="the head's output is 'linear': give"):
        prepare(store, manifest, RunOptions(loss=only), manifest_path="m")
