"""What docs/losses.md shows is what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from fouls.heads.losses import ClassWeights, LossConfig
from fouls.heads.losses.config import LossKind, TaskWeighting
from fouls.heads.losses.smoothness import DEFAULT_WEIGHTS
from fouls.heads.training.mixing import MixingConfig
from fouls.heads.training.sampling import Sampling
from fouls.heads.training.schedule import Schedule

TEXT = (Path(__file__).parents[3] / "docs" / "losses.md").read_text()


def test_the_python_example() -> None:
    scope: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.M | re.S)[0], scope)
    loss = scope["loss"]
    assert (loss.config.kind, loss.config.class_weights) == ("cross_entropy", "effective_number")
    assert scope["config"].of_task("action").kind == "focal"
    losses = loss.examples(scope["logits"], scope["labels"]).losses
    assert losses.shape == (8,)
    assert (losses == 0).tolist() == [label == -1 for label in scope["labels"]]


@pytest.mark.parametrize("choice", [LossKind, ClassWeights, TaskWeighting, Sampling, Schedule])
def test_every_choice_is_named(choice: object) -> None:
    for name in get_args(choice):
        assert re.search(rf"^\|.*`{name}`", TEXT, flags=re.M), name


@pytest.mark.parametrize("config", [LossConfig, MixingConfig])
def test_every_option_is_named(config: type) -> None:
    for field in dataclasses.fields(config):
        assert re.search(rf"\b{field.name}\b", TEXT), field.name


def test_the_weights_are_those_of_the_code() -> None:
    for kind, weight in DEFAULT_WEIGHTS.items():
        if kind != "none":
            (shown,) = re.findall(rf"^\| `smoothness: {kind}` \|.*\| (\S+) \|[^|]*\|$", TEXT, flags=re.M)
            assert float(shown) == weight
    (assisting,) = re.findall(r"^\| assisting output \|.*\| (\S+) \|[^|]*\|$", TEXT, flags=re.M)
    (keypoints,) = re.findall(r"^\| keypoints \|.*\| (\S+) \|[^|]*\|$", TEXT, flags=re.M)
    assert (float(assisting), float(keypoints)) == (LossConfig().assisting_weight, LossConfig().keypoint_weight)
