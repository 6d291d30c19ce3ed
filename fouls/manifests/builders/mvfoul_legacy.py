"""The label set of the MVFouls code: no filter, and what is missing is a class of its own.

The orders of the classes are those of that code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fouls.errors import ManifestError

MISSING = "Missing"
ACTION_CLASSES = (
    MISSING,
    "Standing tackling",
    "Tackling",
    "Challenge",
    "Holding",
    "Elbowing",
    "High leg",
    "Pushing",
    "Dont know",
    "Dive",
)
SEVERITY_CLASSES = (MISSING, "1", "2", "3", "4", "5")
TASKS = {"action_class": ACTION_CLASSES, "severity": SEVERITY_CLASSES}

_FIELDS = {"action_class": "Action class", "severity": "Severity"}
_ANNOTATED = (
    "Offence",
    "Contact",
    "Bodypart",
    "Upper body part",
    "Action class",
    "Severity",
    "Multiple fouls",
    "Try to play",
    "Touch ball",
    "Handball",
    "Handball offence",
)


def labels_of(action: Mapping[str, Any], place: str) -> Mapping[str, int | None]:
    """The labels of an action: an empty field is :data:`MISSING`. One without any annotation has no labels.

    Args:
        action: an entry of ``Actions`` in ``annotations.json``.
        place: file and action, for messages.

    Raises:
        ManifestError: a value that the data set does not have.
    """
    if not any(action.get(field) for field in _ANNOTATED):  # as in the challenge set
        return dict.fromkeys(TASKS)
    return {task: _index(task, action.get(field), place) for task, field in _FIELDS.items()}


def _index(task: str, value: object, place: str) -> int:
    name = str(value or MISSING).removesuffix(".0")  # severities are "1.0" to "5.0"
    if name not in TASKS[task]:
        raise ManifestError(f"{place}: {_FIELDS[task].lower()} {value!r}; known: {', '.join(TASKS[task])}")
    return TASKS[task].index(name)
