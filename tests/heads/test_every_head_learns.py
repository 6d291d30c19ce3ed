"""Every head reaches the score that a known signal allows, and none finds what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch

from fouls.heads.batch import LIVE, REPLAY, InputForm
from fouls.heads.determinism import deterministic
from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.predictions import predict, reduced
from fouls.heads.registry import HEADS, make_head_config
from fouls.heads.run_folder import save_weights
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task
from fouls.heads.train import fit
from fouls.heads.train_config import TrainConfig
from tests.heads.test_samples import rows_of
from tests.heads.worlds import BLOB_TASKS, blobs

CPU = torch.device("cpu")
TASKS = tuple(Task(name=name, classes=tuple(classes)) for name, classes in BLOB_TASKS.items())
STEPS = InputForm(widths=(12,), num_steps=4)
GRID = InputForm(widths=(12,), num_steps=16, tokens=True, grid=(4, 2, 2))

SEES_MOTION: dict[str, dict[str, Any]] = {
    "linear": {},
    "mlp": {"hidden": 32},
    "tcn": {"hidden": 32},
    "ms_tcn": {"num_stages": 2, "num_layers": 3, "num_maps": 32, "dropout": 0.1},
    "attentive": {"num_heads": 4},
    "mvfouls": {"hidden": 64, "num_groups": 4, "temporal": "tconv"},
    "vars": {"time_pooling": "mean_std"},
    "live_replay": {"time_pooling": "mean_std", "hidden": 32},
}
"""Heads that can see the spread in time, and what they need for it."""
SEES_MEAN_ALONE: dict[str, dict[str, Any]] = {
    "tsn": {"assisting_reduction": 4},
    "i3d": {"assisting": False},
    "timesformer": {},
}
"""Heads that are linear in the mean over time."""
SMALL = SEES_MOTION | SEES_MEAN_ALONE


def samples_of(form: InputForm, count: int, *, signal: float, first: int) -> Samples:
    """Samples of two views, of :func:`blobs`; on a grid the places of a step are the step and noise."""
    videos = blobs({"all": first + count}, views=2, signal=signal)[2 * first :]
    values = np.stack([video.clips[0].features["temporal"] for video in videos])  # (R, 4, 12)
    if form.grid is not None:
        noise = np.random.default_rng(first).standard_normal((len(values), 4, 4, 12))
        values = (values[:, :, None] + noise).reshape(len(values), 16, 12)
    keys = [(str(video.sample_id), video.video_id, video.view, 0, 0) for video in videos]
    samples = samples_from_rows(values.astype(np.float32), rows_of(*keys), clips_are_steps=False)
    for task in TASKS:
        samples.labels[task.name] = torch.tensor([video.labels[task.name] for video in videos[::2]])
    return samples


def train_and_test(head: Head, form: InputForm, *, signal: float, epochs: int, tests: int) -> dict[str, float]:
    """Task → accuracy on samples that were not trained on; its classes are equally many."""
    train, valid, test = (
        samples_of(form, count, signal=signal, first=first)
        for first, count in ((0, 180), (180, 45), (225, tests))
    )  # fmt: skip
    names = [task.name for task in TASKS]
    config = TrainConfig(epochs=epochs, lr=5e-3, weight_decay=0.01)
    fit(head, reduced(head, train), reduced(head, valid), TASKS, config, LossConfig().resolved(names))
    found = predict(head, reduced(head, test), TASKS)
    return {each.task.name: float((each.classes == each.labels).mean()) for each in found}


def build(name: str, options: dict[str, Any], form: InputForm) -> Head:
    return make_head_config(name, options).resolved(form, TASKS).build(form, TASKS)


def test_every_head_is_here() -> None:
    assert set(SMALL) == set(HEADS)


@pytest.mark.parametrize("name", HEADS)
def test_a_signal_is_learned(name: str, tmp_path: Path) -> None:
    with deterministic(0, CPU):
        head = build(name, SMALL[name], STEPS)
        scores = train_and_test(head, STEPS, signal=2.0, epochs=80 if name == "attentive" else 40, tests=90)
    assert scores["look"] > 0.9
    assert (scores["move"] > 0.9) if name in SEES_MOTION else (scores["move"] < 0.5)
    save_weights(tmp_path / "weights.safetensors", head)
    again = build(name, SMALL[name], STEPS).eval()
    again.load_state_dict(safetensors.torch.load_file(tmp_path / "weights.safetensors"))
    batch = samples_of(STEPS, 9, signal=2.0, first=0).gather(torch.arange(9))
    torch.testing.assert_close(again(batch).logits, head(batch).logits, rtol=0, atol=0)


@pytest.mark.parametrize("name", HEADS)
def test_without_a_signal_none_beats_chance(name: str) -> None:
    with deterministic(0, CPU):
        head = build(name, SMALL[name], STEPS)
        scores = train_and_test(head, STEPS, signal=0.0, epochs=8, tests=300)
    for score in scores.values():
        assert abs(score - 1 / 3) < 0.09  # 3.3 standard deviations of 300 guesses


@pytest.mark.parametrize("name", ["mlp", "ms_tcn", "tsn", "mvfouls"])
def test_any_number_of_labels_is_learned(name: str) -> None:
    """The labels of a sample are the classes that it does not look like."""
    task = Task(name="not", classes=("red", "green", "blue"), multi_label=True)
    train, test = (samples_of(STEPS, count, signal=2.0, first=first) for first, count in ((0, 150), (150, 60)))
    for samples in (train, test):
        samples.labels["not"] = 1 - torch.nn.functional.one_hot(samples.labels.pop("look"), 3)
    loss = LossConfig(kind="bce", class_weights="none").resolved(["not"])
    with deterministic(0, CPU):
        head = make_head_config(name, SMALL[name]).resolved(STEPS, (task,)).build(STEPS, (task,))
        fit(head, reduced(head, train), None, (task,), TrainConfig(epochs=30, lr=1e-2), loss)
        (found,) = predict(head, reduced(head, test), (task,))
    assert ((found.probabilities > 0.5) == found.labels).mean() > 0.95


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("attentive", {"num_heads": 4}),
        ("tsn", {"assisting_reduction": 4}),
        ("i3d", {"assisting_reduction": 4}),
        ("timesformer", {}),
        (
            "mvfouls",
            {"hidden": 64, "num_groups": 4, "spatial_pooling": "attention", "temporal": "lstm", "lstm_hidden": 16},
        ),
    ],
)
def test_a_signal_on_a_grid_is_learned(name: str, options: dict[str, Any]) -> None:
    with deterministic(0, CPU):
        scores = train_and_test(build(name, options, GRID), GRID, signal=2.0, epochs=25, tests=90)
    assert scores["look"] > 0.9


@pytest.mark.parametrize("knows", [True, False])
def test_the_kind_of_a_view_is_a_signal(knows: bool) -> None:
    """The class is the sign of a feature in live views, and its opposite in replays."""
    rng = np.random.default_rng(0)
    values: npt.NDArray[np.float32] = rng.standard_normal((400, 1, 4)).astype(np.float32)
    keys = [(str(number), str(number), 0, 0, 0) for number in range(400)]
    samples = samples_from_rows(values, rows_of(*keys), clips_are_steps=False)
    is_live = torch.from_numpy(rng.random(400) < 0.5)
    task = Task(name="sign", classes=("n", "p"))
    samples.labels["sign"] = ((torch.from_numpy(values[:, 0, 0]) > 0) == is_live).long()
    if knows:
        samples.view_kinds.copy_(torch.where(is_live, LIVE, REPLAY))
    form = InputForm(widths=(4,))
    with deterministic(0, CPU):
        config = make_head_config("live_replay", {"hidden": 32}).resolved(form, (task,))
        head = config.build(form, (task,))
        train, test = samples.select(np.arange(300)), samples.select(np.arange(300, 400))
        fit(head, reduced(head, train), None, (task,), TrainConfig(epochs=40, lr=1e-2), LossConfig().resolved(["sign"]))
        (found,) = predict(head, reduced(head, test), (task,))
    accuracy = float((found.classes == found.labels).mean())
    assert accuracy > 0.9 if knows else accuracy < 0.65
