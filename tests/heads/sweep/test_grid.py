"""What a sweep varies, read and multiplied out."""

from __future__ import annotations

from typing import Any

import pytest

from fouls.errors import ConfigError
from fouls.heads.sweep.grid import configure, make_points, parse_axis, read_section


def test_every_combination_the_last_axis_fastest() -> None:
    assert make_points({"head.name": ["linear", "mlp"], "train.seed": [0, 1]}, []) == [
        {"head": "linear", "train.seed": 0},
        {"head": "linear", "train.seed": 1},
        {"head": "mlp", "train.seed": 0},
        {"head": "mlp", "train.seed": 1},
    ]


def test_runs_are_taken_with_every_value_of_the_grid() -> None:
    plain = {"grid": {"train": {"seed": [0, 1]}}, "runs": [{"head": {"name": "mlp", "hidden": 8}}, {"train.lr": 0.1}]}
    assert make_points(*read_section(plain)) == [
        {"head": "mlp", "head.hidden": 8, "train.seed": 0},
        {"head": "mlp", "head.hidden": 8, "train.seed": 1},
        {"train.lr": 0.1, "train.seed": 0},
        {"train.lr": 0.1, "train.seed": 1},
    ]


def test_values_are_yaml() -> None:
    assert parse_axis("head.standardise=true,false") == ("head.standardise", [True, False])
    assert parse_axis("head.name=mlp") == ("head", ["mlp"])
    assert parse_axis("pools=mean,[mean, cls]") == ("pools", ["mean", ["mean", "cls"]])


def test_another_head_drops_what_the_file_says_of_its_own() -> None:
    base = {"head": {"name": "tcn", "num_blocks": 2}, "train": {"lr": 1.0}}
    typed = {"head": {"dropout": 0.1}}
    assert configure(base, typed, {"head": "tcn"})["head"] == {"name": "tcn", "num_blocks": 2, "dropout": 0.1}
    other = configure(base, typed, {"head": "mlp", "head.hidden": 4, "train.seed": 3})
    assert other == {"head": {"name": "mlp", "dropout": 0.1, "hidden": 4}, "train": {"lr": 1.0, "seed": 3}}
    assert configure({"head": "tcn"}, {}, {"train.seed": 1})["head"] == {"name": "tcn"}


@pytest.mark.parametrize(
    ("axes", "runs", "message"),
    [
        ({}, [], "nothing to sweep over"),
        ({"train.lr": []}, [], "the grid has no value for train.lr"),
        ({"train.lr": [1, 2, 1]}, [], "the grid has train.lr = 1 twice"),
        ({"tasks": ["a", "b"]}, [], "tasks can't be swept: scores are compared on the same samples and tasks"),
        ({}, [{"valid_split": "dev"}], "valid_split can't be swept"),
        ({"train.lr": [1]}, [{"train.seed": 1}, {"train.lr": 2}], "sweep.runs, number 2, and the grid both say train"),
        ({"train.seed": list(range(101)), "train.lr": list(range(1, 101))}, [], "10,100 configurations, more than"),
    ],
)
def test_grids_that_make_no_sense(axes: dict[str, list[Any]], runs: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_points(axes, runs)


@pytest.mark.parametrize("section", [[1], {"grids": {}}, {"grid": [1]}, {"runs": {"a": 1}}, {"runs": [1]}])
def test_sections_that_are_none(section: Any) -> None:
    with pytest.raises(ConfigError, match=r"^sweep.* is .*; it must be"):
        read_section(section)


def test_an_axis_without_values() -> None:
    with pytest.raises(ConfigError, match="it must be NAME=VALUE,VALUE"):
        parse_axis("train.lr")
    with pytest.raises(ConfigError, match="can't be read as values"):
        parse_axis("train.lr=[1,{")
