"""The measure of the SoccerNet-MVFoul challenge, from annotation and prediction files.

:func:`official` repeats the challenge's own program value by value, quirks included; :func:`corrected` is what it would
say without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fouls.errors import ConfigError
from fouls.heads.metrics.precision import Floats, mean_defined, ratio
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES, labels_of

Action = Mapping[str, str]
"""One entry of ``Actions`` in either file: field → value."""

CLASSES = {"offence_severity": OFFENCE_SEVERITY_CLASSES, "action": ACTION_CLASSES}
"""Task → its classes, in the order of the official values."""

_NO_OFFENCE = ("No offence", "No Offence")
_UNSURE_SEVERITY = ("", "2.0", "4.0")
_SEVERITY_CLASS = {"1.0": 1, "3.0": 2, "5.0": 3}
_KNOWN = {
    "Action class": (*ACTION_CLASSES, "Dont know", ""),
    "Offence": ("Offence", *_NO_OFFENCE, "Between", ""),
    "Severity": ("1.0", "2.0", "3.0", "4.0", "5.0", ""),
}
"""The fields that count, and what a prediction may say there: all that an annotation may."""


class Match(NamedTuple):
    """An action that counts, which is one that the official filter keeps."""

    annotated: Action
    labels: Mapping[str, int]
    """Task → class."""
    predicted: Action
    """Empty where nothing was predicted, which is wrong."""


def mvfoul_scores(annotations: Mapping[str, Any], predictions: Mapping[str, Any]) -> dict[str, Any]:
    """The official values under their official names, and the corrected ones under ``corrected``; all in percent.

    Args:
        annotations: the content of an ``annotations.json``.
        predictions: the content of a prediction file.

    Raises:
        ConfigError, ManifestError: see :func:`match_actions`.
    """
    matches = match_actions(annotations, predictions)
    return {**official(matches), "corrected": corrected(matches)}


def match_actions(
    annotations: Mapping[str, Any],
    predictions: Mapping[str, Any],
    places: tuple[str, str] = ("annotations", "predictions"),
) -> list[Match]:
    """Every action that counts, with what was predicted for it.

    Args:
        annotations: the content of an ``annotations.json``.
        predictions: the content of a prediction file.
        places: what messages call the two.

    Raises:
        ConfigError: no actions, a field that lacks or is no text, a prediction of a class that there is not or of an
            action that the annotations don't have.
        ManifestError: an annotated action class that the data set does not have.
    """
    annotated, predicted = _actions(annotations, places[0]), _actions(predictions, places[1])
    for number, action in predicted.items():
        if number not in annotated:
            raise ConfigError(f"{places[1]}: action {number!r} is not in {places[0]}: are both of the same split?")
        for field, known in _KNOWN.items():
            if action[field] not in known:
                allowed = ", ".join(map(repr, known))
                raise ConfigError(f"{places[1]}: action {number}: {field!r} is {action[field]!r}; allowed: {allowed}")
    matches = []
    for number, action in annotated.items():
        labels = labels_of(action, f"{places[0]}: action {number}")
        known_labels = {task: label for task, label in labels.items() if label is not None}
        if known_labels:
            matches.append(Match(annotated=action, labels=known_labels, predicted=predicted.get(number, {})))
    return matches


def official(matches: Sequence[Match]) -> dict[str, float]:
    """What the challenge's own program says, under the names that it uses, in percent.

    Its quirks: the predicted ``Offence`` is compared with the annotated text, so ``No Offence`` with a capital O, or a
    Dive with ``Between`` or nothing, is never matched by ``No offence`` or ``Offence``; a Dive has to be predicted with
    severity 1.0, whatever is annotated; a class without actions makes its balanced accuracy, and the leaderboard's
    value, NaN.
    """
    right = {
        "offence_severity": [
            predicted.get("Offence") == annotated["Offence"]
            and predicted.get("Severity") == _expected_severity(annotated)
            for annotated, _, predicted in matches
        ],
        "action": [predicted.get("Action class") == annotated["Action class"] for annotated, _, predicted in matches],
    }
    return _summarise(matches, right, lambda recalls: float(np.mean(recalls)))


def corrected(matches: Sequence[Match]) -> dict[str, float | None]:
    """The same without the quirks: predictions are read as classes, and compared with those that the labels mean.

    The labels are those of a manifest, see ``fouls.manifests.builders.mvfoul.labels_of``. The balanced accuracies are
    means over the classes that occur. All are ``None`` where no action counts.
    """
    right = {
        task: [_classes(predicted).get(task) == labels[task] for _, labels, predicted in matches] for task in CLASSES
    }
    summary = _summarise(matches, right, mean_defined)
    return {name: None if np.isnan(value) else value for name, value in summary.items()}


def _summarise(
    matches: Sequence[Match], right: Mapping[str, Sequence[bool]], mean: Callable[[Floats], float]
) -> dict[str, float]:
    accuracy = {task: float(ratio(sum(right[task]), len(matches))) for task in CLASSES}
    balanced = {task: mean(_recalls(matches, task, right[task])) for task in CLASSES}
    leaderboard = balanced["offence_severity"] * 0.5 + balanced["action"] * 0.5
    return {
        **{f"accuracy_{task}": value * 100 for task, value in accuracy.items()},
        **{f"balanced_accuracy_{task}": value * 100 for task, value in balanced.items()},
        "leaderboard_value": leaderboard * 100,
    }


def _recalls(matches: Sequence[Match], task: str, right: Sequence[bool]) -> Floats:
    """(classes,) share of each class's actions that is right, NaN for a class without any."""
    labels, number = [match.labels[task] for match in matches], len(CLASSES[task])
    hits = np.bincount(np.array(labels, dtype=np.int64), weights=np.array(right, dtype=np.float64), minlength=number)
    return ratio(hits, np.bincount(np.array(labels, dtype=np.int64), minlength=number))


def _expected_severity(annotated: Action) -> str:
    """The text that the official program wants to read."""
    if annotated["Offence"] in _NO_OFFENCE:
        return ""
    if annotated["Action class"] == "Dive" or annotated["Severity"] in _UNSURE_SEVERITY:
        return "1.0"
    return annotated["Severity"]


def _classes(predicted: Action) -> dict[str, int]:
    """The classes that a prediction means; a task is left out where it means none."""
    classes = {}
    if predicted.get("Action class") in ACTION_CLASSES:
        classes["action"] = ACTION_CLASSES.index(predicted["Action class"])
    if predicted.get("Offence") in _NO_OFFENCE:
        classes["offence_severity"] = 0
    elif predicted.get("Offence") == "Offence" and predicted["Severity"] in _SEVERITY_CLASS:
        classes["offence_severity"] = _SEVERITY_CLASS[predicted["Severity"]]
    return classes


def _actions(document: Mapping[str, Any], place: str) -> Mapping[str, Action]:
    actions = document.get("Actions") if isinstance(document, Mapping) else None
    if not isinstance(actions, Mapping) or not actions:
        raise ConfigError(f"{place}: no object 'Actions' with actions in it; is this a file of SoccerNet-MVFoul?")
    for number, action in actions.items():
        fields = action if isinstance(action, Mapping) else {}
        for field in _KNOWN:
            if field not in fields:
                raise ConfigError(f"{place}: action {number} has no {field!r}; needed: {', '.join(map(repr, _KNOWN))}")
            if not isinstance(fields[field], str):
                raise ConfigError(
                    f"{place}: action {number}: {field!r} is {fields[field]!r}, which is no text; write "
                    f"it as the official files do, such as {_KNOWN[field][0]!r}"
                )
    return actions
