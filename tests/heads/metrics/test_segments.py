"""Segments beside the published program's values, and beside plain loops."""

from __future__ import annotations

import json
from itertools import combinations, groupby, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fouls.errors import ConfigError
from fouls.heads.metrics import segment_f1, segmentation_scores
from fouls.heads.metrics.segments import find_segments


def wobbly(rng: np.random.Generator, length: int, classes: int = 4) -> np.ndarray:
    """Labels in runs of 1 to 8 frames."""
    runs = [np.full(rng.integers(1, 9), rng.integers(0, classes)) for _ in range(length)]
    return np.concatenate(runs)[:length]


def make_videos(count: int = 6) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    truths = [wobbly(rng, 60) for _ in range(count)]
    return truths, [np.where(rng.random(60) < 0.85, truth, wobbly(rng, 60)) for truth in truths]


def test_the_published_values(shared: Path) -> None:
    files = sorted((shared / "reference" / "segmentation_metrics").glob("*.json"))
    assert files
    for file in files:
        reference = json.loads(file.read_text())
        truths, predictions = ([video[side] for video in reference["videos"]] for side in ("truth", "predicted"))
        scores = segmentation_scores(truths, predictions, background=reference["background"])
        assert scores == pytest.approx(reference["expected"], abs=1e-9), file.name


def test_segments_of_a_video() -> None:
    segments = find_segments([2, 2, 0, 1, 1, 1, 0])
    assert [column.tolist() for column in segments] == [[2, 0, 1, 0], [0, 2, 3, 6], [2, 3, 6, 7]]
    without = find_segments(["run", "run", "none", "hit"], background=["none"])
    assert [column.tolist() for column in without] == [["run", "hit"], [0, 3], [2, 4]]
    assert [column.tolist() for column in find_segments([0, 0], background=[0])] == [[], [], []]
    assert find_segments(["back", "hit"], background=["background"]).classes.tolist() == ["back", "hit"]


def test_scores_by_hand() -> None:
    truth = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    predicted = [0, 0, 0, 1, 1, 0, 0, 1, 2, 2]  # segments 0 1 0 1 2 for 0 1 2
    scores = segmentation_scores([truth], [predicted])
    assert scores["accuracy"] == pytest.approx(70)
    assert scores["edit"] == pytest.approx(100 * (1 - 2 / 5))
    # overlaps: 0 with 3/4; the first 1 with 1/5, the second 0 with nothing, the second 1 with 1/4; 2 with 1
    assert scores["f1@10"] == pytest.approx(100 * 2 * 3 / (5 + 3))
    assert scores["f1@25"] == pytest.approx(100 * 2 * 3 / (5 + 3))
    assert scores["f1@50"] == pytest.approx(100 * 2 * 2 / (5 + 3))


def test_names_are_as_good_as_indices() -> None:
    truths, predictions = make_videos()
    names = np.array(["none", "run", "hit", "fall"])
    named = segmentation_scores([names[t] for t in truths], [names[p] for p in predictions], background=["none"])
    assert named == segmentation_scores(truths, predictions, background=[0])


def test_edit_score_is_the_plain_recursion() -> None:
    def distance(left: list[int], right: list[int]) -> int:
        if not left or not right:
            return len(left) + len(right)
        table = [list(range(len(right) + 1))]
        for i, a in enumerate(left, 1):
            row = [i]
            for j, b in enumerate(right, 1):
                row.append(min(table[-1][j] + 1, row[-1] + 1, table[-1][j - 1] + (a != b)))
            table.append(row)
        return table[-1][-1]

    truths, predictions = make_videos()
    expected = []
    for truth, predicted in zip(truths, predictions, strict=True):
        left, right = ([int(label) for label, _ in groupby(side)] for side in (truth, predicted))
        expected.append(100 * (1 - distance(left, right) / max(len(left), len(right))))
    assert segmentation_scores(truths, predictions)["edit"] == pytest.approx(np.mean(expected))


def test_no_segments_on_either_side_agree() -> None:
    assert set(segmentation_scores([[0, 0]], [[0, 0]], background=[0]).values()) == {100.0}
    assert segment_f1([[0, 0]], [[0, 0]], background=[0]) is None
    only_predicted = segmentation_scores([[0, 0]], [[0, 1]], background=[0])
    assert (only_predicted["accuracy"], only_predicted["edit"], only_predicted["f1@10"]) == (50, 0, 0)
    only_true = segmentation_scores([[0, 1]], [[0, 0]], background=[0])
    assert (only_true["edit"], only_true["f1@10"]) == (0, 0)


def runs(labels: np.ndarray, wanted: int) -> list[set[int]]:
    """The frames of each segment of one class."""
    found, frame = [], 0
    for label, group in groupby(labels):
        length = len(list(group))
        if label == wanted:
            found.append(set(range(frame, frame + length)))
        frame += length
    return found


def most_pairs(truth: list[set[int]], predicted: list[set[int]], iou: float) -> int:
    """The largest matching there is, by trying them all."""
    few, many = sorted((truth, predicted), key=len)
    fits = [[len(a & b) / len(a | b) >= iou for b in many] for a in few]
    for size in range(len(few), 0, -1):
        for rows in combinations(range(len(few)), size):
            if any(
                all(fits[r][c] for r, c in zip(rows, order, strict=True))
                for order in permutations(range(len(many)), size)
            ):
                return size
    return 0


@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5])
def test_segment_f1_makes_as_many_pairs_as_any_matching(iou: float) -> None:
    rng = np.random.default_rng(5)
    truths = [wobbly(rng, 25, classes=3) for _ in range(12)]
    predictions = [np.where(rng.random(25) < 0.8, truth, wobbly(rng, 25, classes=3)) for truth in truths]
    counts: dict[int, Any] = {label: np.zeros(3) for label in range(3)}
    for truth, predicted in zip(truths, predictions, strict=True):
        for label in counts:
            ours, theirs = runs(truth, label), runs(predicted, label)
            counts[label] += [most_pairs(ours, theirs, iou), len(theirs), len(ours)]
    hits, num_predicted, num_segments = sum(counts.values())
    assert segment_f1(truths, predictions, iou) == pytest.approx(2 * hits / (num_predicted + num_segments))
    by_class = [2 * count[0] / (count[1] + count[2]) for count in counts.values()]
    assert segment_f1(truths, predictions, iou, average="macro") == pytest.approx(np.mean(by_class))
    without = sum(counts[label] for label in (1, 2))
    assert segment_f1(truths, predictions, iou, background=[0]) == pytest.approx(2 * without[0] / sum(without[1:]))


def test_segments_end_with_their_video() -> None:
    # as one video the two runs of class 1 would be one segment, found whole
    truths, predictions = [[0, 1, 1], [1, 1, 0]], [[0, 0, 1], [1, 1, 0]]
    assert segment_f1(truths, predictions, iou=0.6) == pytest.approx(2 * 2 / 8)
    assert segment_f1([np.concatenate(truths)], [np.concatenate(predictions)], iou=0.6) == pytest.approx(2 * 2 / 6)
    assert segmentation_scores(truths, predictions)["f1@50"] == pytest.approx(100)
    assert segment_f1(truths, truths) == 1


@pytest.mark.parametrize(
    ("truths", "predictions", "message"),
    [
        ([[0, 1]], [[0, 1, 1]], r"video 0 has labels of shape \(2,\) and predictions of shape \(3,\)"),
        ([[0, 1]], [], "segments of 1 videos, predictions of 0"),
        ([], [], "segments of 0 videos"),
        ([[0], []], [[0], []], "video 1"),
    ],
)
def test_what_can_not_be_measured_is_refused(truths: Any, predictions: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        segmentation_scores(truths, predictions)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="iou is 30; allowed: above 0 and at most 1"):
        segment_f1([[0]], [[0]], iou=30)
    with pytest.raises(ConfigError, match="average is 'weighted'; allowed: micro, macro"):
        segment_f1([[0]], [[0]], average="weighted")  # type: ignore[arg-type]
