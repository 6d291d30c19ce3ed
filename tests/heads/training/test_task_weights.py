"""Weights of tasks, by hand."""

from __future__ import annotations

import pytest

from fouls.heads.training.task_weights import difficulty_scores, task_weights

TASKS = ["action", "severity", "contact"]


def test_without_scores_they_are_the_fixed_ones() -> None:
    assert task_weights(TASKS, {"severity": 2.0}, {}) == {"action": 1, "severity": 2, "contact": 1}


def test_a_harder_task_weighs_more() -> None:
    weights = task_weights(TASKS, {}, {"action": 0.8, "severity": 0.4, "contact": 0.2})
    # 1 / s is 1.25, 2.5 and 5, with mean 35/12
    assert weights == pytest.approx({"action": 3 / 7, "severity": 6 / 7, "contact": 12 / 7})
    assert sum(weights.values()) == pytest.approx(3)
    doubled = task_weights(TASKS, {"action": 2.0}, {"action": 0.8, "severity": 0.4, "contact": 0.2})
    assert doubled == pytest.approx({**weights, "action": 6 / 7})


def test_a_task_without_score_is_of_mean_difficulty_and_none_takes_all() -> None:
    weights = task_weights(TASKS, {}, {"action": 1.0, "severity": 0.0})
    assert weights == pytest.approx({"action": 2 / 21, "severity": 40 / 21, "contact": 1.0})  # 0 counts as 0.05


def test_scores_are_read_off_the_history() -> None:
    line = {"valid/action/accuracy": 0.5, "valid/action/macro_f1": 0.3, "train/severity/accuracy": 0.9}
    assert difficulty_scores(line, TASKS, "inverse_accuracy", "valid") == {"action": 0.5}
    assert difficulty_scores(line, TASKS, "inverse_f1", "valid") == {"action": 0.3}
    assert difficulty_scores(line, TASKS, "inverse_accuracy", "train") == {"severity": 0.9}
    assert difficulty_scores(line, TASKS, "fixed", "valid") == {}
