"""Pictures are PNGs of a sensible size, whatever the number of classes and the length of their names."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from fouls.heads.figures import draw_class_f1, draw_confusion, draw_curves, draw_reliability
from fouls.heads.metrics import score


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("number", [2, 8, 52, 400])
def test_confusion(number: int) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, (number, number))
    counts[-1] = 0  # a class without examples
    names = [f"a class with a name that is rather long, number {index}" for index in range(number)]
    width, height = size_of(draw_confusion(counts.tolist(), names, "action, test", "251 samples"))
    assert 500 < width < 2700
    assert 400 < height < 2700


@pytest.mark.parametrize("number", [2, 8, 52, 400])
def test_class_f1_and_reliability(number: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, number - 1, 60)  # the last class has no examples, with many classes more have none
    scores = score(torch.from_numpy(rng.dirichlet(np.full(number, 0.3), 60)), torch.from_numpy(labels))
    names = [f"a class with a name that is rather long, number {index}" for index in range(number)]
    width, height = size_of(draw_class_f1(scores["per_class"], names, "action, test", "60 samples"))
    assert width == (1200 if number == 400 else 1125)
    assert height == (630 if number == 400 else int(150 * (1.5 + 0.27 * number)))
    assert size_of(draw_reliability(scores["reliability"], "action, test", "60 samples")) == (990, 960)


@pytest.mark.parametrize("has_valid", [True, False])
@pytest.mark.parametrize(("epochs", "num_tasks"), [(1, 1), (40, 12)])
def test_curves(epochs: int, num_tasks: int, has_valid: bool) -> None:
    splits = ("train", "valid") if has_valid else ("train",)
    tasks = [f"task{index}" for index in range(num_tasks)]
    history = [
        {"epoch": epoch}
        | {f"{split}/loss": 1 / epoch for split in splits}
        | {f"{split}/{task}/balanced_accuracy": 1 - 1 / epoch for split in splits for task in tasks}
        for epoch in range(1, epochs + 1)
    ]
    png = draw_curves(history, 1 if has_valid else None, dict.fromkeys(tasks, 0.25), "run")
    width, height = size_of(png)
    assert width == 1575
    assert height == 630 or num_tasks == 12  # room for the names
