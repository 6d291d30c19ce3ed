"""What is printed of scores: each column from where it belongs, none that is empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fouls.commands.scores import print_challenges, print_more_scores, print_scores
from fouls.heads.metrics import score, score_multi_label


def scores_of(classes: int) -> dict[str, Any]:
    rng = np.random.default_rng(classes)
    probabilities = torch.from_numpy(rng.dirichlet(np.full(classes, 0.5), 90))
    return score(probabilities, torch.from_numpy(rng.integers(0, classes, 90)))


def cells(output: str) -> list[list[str]]:
    """The cells of all lines of tables."""
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in output.splitlines() if line[:1] == "│"]


def header(output: str) -> list[str]:
    return [
        cell.strip() for cell in next(line for line in output.splitlines() if line[:1] == "┃").strip("┃").split("┃")
    ]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


NAMES = ("accuracy", "balanced_accuracy")
"""What stands beside chance."""


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def test_a_line_a_task_and_split(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = scores_of(3), scores_of(7)
    nothing = score(torch.ones(2, 3), torch.tensor([-1, -1]))
    by_split = {"train": {"a": few, "b": many}, "valid": {"a": nothing, "b": many}}
    print_scores(by_split)
    output = capsys.readouterr().out
    assert header(output) == ["task", "split", "labels", "accuracy", "balanced", "macro F1", "top-5"]
    lines = cells(output)
    assert [line[:3] for line in lines] == [["a", "train", "90"], ["b", "train", "90"], ["b", "valid", "90"]]
    for line, scores in zip(lines, (few, many, many), strict=True):
        beside = [f"{percent(scores[name])} ({percent(scores['chance'][name])})" for name in NAMES]
        assert line[3:6] == [*beside, percent(scores["macro_f1"])]
    assert [line[6] for line in lines] == ["", *[percent(many["top5_accuracy"])] * 2]
    print_more_scores(by_split)
    lines = cells(capsys.readouterr().out)
    names = ("mean_average_precision", "ece")
    assert [line[3:] for line in lines] == [[percent(scores[name]) for name in names] for scores in (few, many, many)]


def test_tasks_of_several_labels_and_of_frames(capsys: pytest.CaptureFixture[str]) -> None:
    several = score_multi_label([[0.9, 0.2], [0.8, 0.7]], [[1, 0], [0, 1]])
    print_scores({"test": {"flags": several}})
    output = capsys.readouterr().out
    assert header(output) == ["task", "split", "labels", "macro F1"]
    assert cells(output) == [["flags", "test", "2", percent(5 / 6)]]
    segments = {
        "videos": 4,
        "accuracy": 70.0,
        "edit": 43.99,
        "f1@10": 58.3,
        "f1@25": 52.2,
        "f1@50": 31.9,
        "f1_iou_30": 48,
    }
    print_more_scores({"test": {"flags": several, "pose": {**scores_of(3), "segments": segments}}})
    lines = cells(capsys.readouterr().out)
    assert lines[0] == ["flags", "test", "2", "100.0", ""]
    assert lines[2] == ["pose", "test", "90", "44.0", "58.3", "52.2", "31.9", "48.0"]


def test_challenges(capsys: pytest.CaptureFixture[str]) -> None:
    print_challenges({"ma52": {"F1_mean": 73.129, "fine_macro_f1": 60.0}, "mvfoul": {"leaderboard_value": 42.5}})
    assert capsys.readouterr().out.splitlines() == [
        "ma52: F1_mean 73.13 (fine_macro_f1 60.00)",
        "mvfoul: leaderboard_value 42.50",
    ]
