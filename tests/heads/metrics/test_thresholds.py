"""Thresholds a class, beside scikit-learn's F1 and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from fouls.errors import ConfigError
from fouls.heads.metrics import apply_thresholds, search_thresholds

GRID = [0.1 + 0.05 * step for step in range(17)]


def make(count: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.choice(classes, count, p=[0.8, 0.12, 0.05, 0.03])
    logits = rng.standard_normal((count, classes)) + [2, 0, -0.5, -0.5] + 2.0 * np.eye(classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_each_threshold_has_the_best_f1() -> None:
    probabilities, labels = make()
    thresholds = search_thresholds(probabilities, labels)
    for index, threshold in enumerate(thresholds):
        scores = [
            f1_score(labels == index, probabilities[:, index] >= value - 1e-12, zero_division=0) for value in GRID
        ]
        assert threshold == pytest.approx(GRID[int(np.argmax(scores))])
    assert len(set(thresholds.round(6))) > 1


def test_they_help_the_rare_classes() -> None:
    probabilities, labels = make()
    thresholds = search_thresholds(probabilities[::2], labels[::2])
    unseen, truth = probabilities[1::2], labels[1::2]
    plain = f1_score(truth, unseen.argmax(axis=1), average="macro")
    assert f1_score(truth, apply_thresholds(unseen, thresholds), average="macro") > plain


def test_classes_without_examples_and_labels_that_are_missing() -> None:
    probabilities, labels = make()
    some = labels.copy()
    some[::2] = -1
    np.testing.assert_array_equal(
        search_thresholds(probabilities, some), search_thresholds(probabilities[1::2], labels[1::2])
    )
    unseen = np.where(labels == 3, -1, labels)
    assert search_thresholds(probabilities, unseen)[3] == 0.5
    assert search_thresholds([[0.95, 0.05], [0.95, 0.05]], [1, 1]).tolist() == [0.5, 0.5]  # no threshold finds it
    assert search_thresholds(probabilities, np.full(len(labels), -1)).tolist() == [0.5] * 4


def test_the_most_probable_of_those_that_pass() -> None:
    probabilities = [
        [0.60, 0.25, 0.15],  # 0 and 1 pass: 0
        [0.45, 0.35, 0.20],  # only 1 passes
        [0.45, 0.10, 0.45],  # only 2 passes, exactly
        [0.40, 0.19, 0.41],  # none passes: the most probable of all
        [0.20, 0.40, 0.40],  # 1 passes, 2 does not
    ]
    assert apply_thresholds(probabilities, [0.5, 0.2, 0.45]).tolist() == [0, 1, 2, 2, 1]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"probabilities of shape \(2, 3\) need one label a row"):
        search_thresholds(np.ones((2, 3)), [0, 1, 2])
    with pytest.raises(ConfigError, match="thresholds of one class each"):
        apply_thresholds(np.ones((2, 3)), [0.5, 0.5])
