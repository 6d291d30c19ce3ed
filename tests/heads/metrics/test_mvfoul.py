"""The official MVFoul evaluation: the challenge's own values, its quirks one by one, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import recall_score

from fouls.errors import FoulsError
from fouls.heads.metrics.mvfoul import corrected, match_actions, mvfoul_scores, official
from fouls.manifests.builders.mvfoul import labels_of

Texts = tuple[str, str, str]


def document(*actions: Texts | None) -> dict[str, Any]:
    fields = ("Action class", "Offence", "Severity")
    return {
        "Set": "test",
        "Actions": {
            str(number): dict(zip(fields, action, strict=True)) for number, action in enumerate(actions) if action
        },
    }


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    annotations, predictions, expected = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("annotations", "predictions", "expected")
    )
    return annotations, predictions, expected


def test_the_official_values_exactly(shared: Path) -> None:
    folders = sorted((shared / "mvfoul" / "evaluator").iterdir())
    assert folders
    for folder in folders:
        annotations, predictions, expected = load(folder)
        scores = mvfoul_scores(annotations, predictions)
        del scores["corrected"]
        # Compared as text: to the last digit, NaN and order included.
        assert json.dumps(scores) == json.dumps(expected), folder.name


def test_the_corrected_values_are_scikit_learns(shared: Path) -> None:
    pairs = {("No offence", ""): 0, ("Offence", "1.0"): 1, ("Offence", "3.0"): 2, ("Offence", "5.0"): 3}
    for folder in (shared / "mvfoul" / "evaluator").iterdir():
        annotations, predictions, _ = load(folder)
        labels = {number: labels_of(action, "here") for number, action in annotations["Actions"].items()}
        kept = [number for number, of_action in labels.items() if of_action["action"] is not None]
        said = [predictions["Actions"].get(number) for number in kept]
        severity = [labels[number]["offence_severity"] for number in kept]
        guess = [pairs[action["Offence"], action["Severity"]] if action else -1 for action in said]
        names = [annotations["Actions"][number]["Action class"] for number in kept]
        guessed_names = [action["Action class"] if action else "missing" for action in said]
        scores = corrected(match_actions(annotations, predictions))
        expected = [
            recall_score(true, guessed, labels=sorted(set(true)), average="macro")
            for true, guessed in ((severity, guess), (names, guessed_names))
        ]
        assert scores["balanced_accuracy_offence_severity"] == pytest.approx(100 * expected[0])
        assert scores["balanced_accuracy_action"] == pytest.approx(100 * expected[1])
        assert scores["leaderboard_value"] == pytest.approx(50 * sum(expected))


def test_one_action_of_each_class_by_hand() -> None:
    truth: list[Texts] = [
        ("Tackling", "No offence", "1.0"),
        ("Standing tackling", "Offence", "1.0"),
        ("High leg", "Offence", "3.0"),
        ("Holding", "Offence", "5.0"),
        ("Pushing", "No offence", ""),
        ("Elbowing", "Offence", "1.0"),
        ("Challenge", "Offence", "3.0"),
        ("Dive", "Offence", "5.0"),
        ("Dont know", "Offence", "5.0"),  # does not count
    ]
    said: list[Texts | None] = [
        ("Tackling", "No offence", ""),
        ("Standing tackling", "Offence", "3.0"),
        ("Holding", "Offence", "3.0"),
        None,
        ("Pushing", "Offence", "1.0"),
        ("Elbowing", "Offence", "1.0"),
        ("Challenge", "Offence", "3.0"),
        ("Dive", "Offence", "1.0"),
        ("Tackling", "No offence", ""),
    ]
    scores = official(match_actions(document(*truth), document(*said)))
    assert scores == pytest.approx(
        {
            "accuracy_offence_severity": 100 * 5 / 8,
            "accuracy_action": 100 * 6 / 8,
            "balanced_accuracy_offence_severity": 100 * (1 / 2 + 1 / 2 + 2 / 2 + 1 / 2) / 4,  # the Dive counts as red
            "balanced_accuracy_action": 100 * 6 / 8,
            "leaderboard_value": 50 * (2.5 / 4 + 6 / 8),
        }
    )


@pytest.mark.parametrize(
    ("annotated", "predicted", "official_right", "corrected_right"),
    [
        (("Tackling", "No offence", "3.0"), ("Tackling", "No offence", ""), True, True),
        (("Tackling", "No Offence", ""), ("Tackling", "No offence", ""), False, True),
        (("Tackling", "No Offence", ""), ("Tackling", "No Offence", ""), True, True),
        (("Tackling", "No offence", ""), ("Tackling", "No offence", "1.0"), False, True),
        (("Dive", "Between", "1.0"), ("Dive", "Offence", "1.0"), False, True),
        (("Dive", "", ""), ("Dive", "Offence", "1.0"), False, True),
        (("Dive", "Between", "1.0"), ("Dive", "Between", "1.0"), True, False),
        (("Dive", "Offence", "3.0"), ("Dive", "Offence", "3.0"), False, True),
        (("Dive", "Offence", "3.0"), ("Dive", "Offence", "1.0"), True, False),
        (("Holding", "Offence", "5.0"), ("Holding", "Offence", "5.0"), True, True),
        (("Holding", "Offence", "5.0"), None, False, False),
    ],
)
def test_where_the_two_part(
    annotated: Texts, predicted: Texts | None, official_right: bool, corrected_right: bool
) -> None:
    other: Texts = ("Challenge", "Offence", "1.0")
    matches = match_actions(document(annotated, other), document(predicted, other))
    shares = [scores["accuracy_offence_severity"] for scores in (official(matches), corrected(matches))]
    assert shares == [50 + 50 * official_right, 50 + 50 * corrected_right]


def test_a_class_without_actions() -> None:
    matches = match_actions(
        document(("Dive", "Offence", "1.0"), ("High leg", "Offence", "5.0")),
        document(("Dive", "Offence", "1.0"), ("Tackling", "Offence", "5.0")),
    )
    assert math.isnan(official(matches)["balanced_accuracy_action"])
    assert math.isnan(official(matches)["leaderboard_value"])
    assert corrected(matches)["balanced_accuracy_action"] == pytest.approx(50)
    assert corrected(matches)["leaderboard_value"] == pytest.approx(75)


def test_nothing_that_counts() -> None:
    matches = match_actions(document(("", "", "")), document(("Dive", "Offence", "1.0")))
    assert matches == []
    assert all(math.isnan(value) for value in official(matches).values())
    assert set(corrected(matches).values()) == {None}


GOOD: Texts = ("Dive", "Offence", "1.0")
TRUTH = document(GOOD)


@pytest.mark.parametrize(
    ("annotations", "predictions", "message"),
    [
        ([], TRUTH, "annotations: no object 'Actions' with actions in it"),
        (TRUTH, {"Set": "test"}, "predictions: no object 'Actions'"),
        (TRUTH, {"Actions": [GOOD]}, "predictions: no object 'Actions'"),
        (TRUTH, {"Actions": {"0": {"Offence": "Offence"}}}, "predictions: action 0 has no 'Action class'; needed"),
        (TRUTH, {"Actions": {"0": "Dive"}}, "predictions: action 0 has no 'Action class'"),
        (TRUTH, document(("Dive", "Offence", 1.0)), "predictions: action 0: 'Severity' is 1.0, which is no text"),
        (TRUTH, document(("Dive", "Offence", "red")), "action 0: 'Severity' is 'red'; allowed: '1.0', '2.0'"),
        (TRUTH, document(("Diving", "Offence", "1.0")), "action 0: 'Action class' is 'Diving'; allowed: 'Tack"),
        (TRUTH, document(GOOD, GOOD), "predictions: action '1' is not in annotations: are both of the same split"),
        (document(("Diving", "Offence", "1.0")), TRUTH, "annotations: action 0: action class 'Diving'; known"),
        ({"Actions": {"0": {"Offence": "Offence"}}}, TRUTH, "annotations: action 0 has no 'Action class'"),
    ],
)
def test_what_is_wrong_is_one_line(annotations: Any, predictions: Any, message: str) -> None:
    with pytest.raises(FoulsError) as caught:
        mvfoul_scores(annotations, predictions)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
