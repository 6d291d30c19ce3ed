"""Which picture a sweep gets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fouls.heads.figures.sweep import SweepPoint, choose_axis, draw_sweep

PNG = b"\x89PNG\r\n\x1a\n"


def points_of(axes: dict[str, list[Any]], failed: int = 0) -> list[SweepPoint]:
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [
        SweepPoint(varied=varied, name=str(varied), score=None if place < failed else place / len(combinations))
        for place, varied in enumerate(combinations)
    ]


@pytest.mark.parametrize(
    ("axes", "axis"),
    [
        ({"head": ["a", "b"], "train.lr": [0.1, 1.0], "train.seed": [0, 1, 2]}, "train.lr"),
        ({"head.hidden": [1, 2, 3], "train.lr": [0.1, 1.0]}, "train.lr"),
        ({"head.hidden": [1, 2, 3], "train.weight_decay": [0.1, 1.0]}, "head.hidden"),
        ({"train.seed": [0, 1, 2]}, None),
        ({"head": ["a", "b"], "head.standardise": [True, False]}, None),
        ({"head.hidden": [None, 1, 2]}, None),
        ({"head": [f"head {number}" for number in range(9)], "train.lr": [0.1, 1.0, 2.0]}, None),  # too many lines
    ],
)
def test_the_axis_is_the_learning_rate_or_the_number_with_most_values(axes: dict[str, list[Any]], axis: str) -> None:
    assert choose_axis(points_of(axes)) == axis


def test_a_list_of_runs_has_no_lines() -> None:
    pairs = [(0.1, "a"), (0.2, "b"), (0.3, "c")]
    points = [SweepPoint(varied={"train.lr": lr, "head": head}, name=head, score=lr) for lr, head in pairs]
    assert choose_axis(points) is None


@pytest.mark.parametrize("axes", [{"train.lr": [1e-3, 1.0], "head": ["a", "b"]}, {"head": ["a", "b", "c"]}])
def test_what_failed_is_drawn_too(axes: dict[str, list[Any]]) -> None:
    points = points_of(axes, failed=1)
    assert draw_sweep(points, len(points) - 1, "balanced accuracy", 0.3, "mine").startswith(PNG)
