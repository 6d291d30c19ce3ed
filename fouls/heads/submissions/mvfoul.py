"""SoccerNet-MVFoul: the prediction file, and the leaderboard's measure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from fouls.errors import RunError
from fouls.heads.metrics.precision import class_counts, mean_defined, ratio
from fouls.heads.predictions import Predictions
from fouls.heads.submissions.challenge import Challenge
from fouls.heads.tasks import Task
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES

_OFFENCE_AND_SEVERITY = (("No offence", ""), ("Offence", "1.0"), ("Offence", "3.0"), ("Offence", "5.0"))
"""What the file says for each class of ``offence_severity``."""

_ACTION_NUMBER = re.compile(r"action_(\d+)$")


def is_mvfoul(tasks: Sequence[Task]) -> bool:
    """Whether the tasks are those of the MVFoul challenge, with the official class names."""
    classes = {task.name: task.classes for task in tasks}
    return classes.get("action") == ACTION_CLASSES and classes.get("offence_severity") == OFFENCE_SEVERITY_CLASSES


def mvfoul_submission(predictions: Sequence[Predictions], split: str) -> dict[str, Any]:
    """The official prediction file of one split, as JSON types.

    Args:
        predictions: of the tasks ``action`` and ``offence_severity``.
        split: its name, which the file repeats as ``Set``.

    Raises:
        RunError: a sample whose id does not end in ``action_<number>``, or two with one number.
    """
    by_task = {prediction.task.name: prediction for prediction in predictions}
    action, offence = by_task["action"], by_task["offence_severity"]
    actions: dict[str, dict[str, str]] = {}
    for sample_id, action_class, offence_class in zip(action.sample_ids, action.classes, offence.classes, strict=True):
        match = _ACTION_NUMBER.search(sample_id)
        if match is None:
            raise RunError(f"sample {sample_id!r} has no action number: MVFoul's ids end in 'action_<number>'")
        if match[1] in actions:
            raise RunError(f"action {match[1]} is there twice in split {split!r}, the second time as {sample_id!r}")
        is_offence, severity = _OFFENCE_AND_SEVERITY[offence_class]
        actions[match[1]] = {
            "Action class": ACTION_CLASSES[action_class],
            "Offence": is_offence,
            "Severity": severity,
        }
    return {"Set": split, "Actions": dict(sorted(actions.items(), key=lambda item: int(item[0])))}


def leaderboard(predictions: Sequence[Predictions]) -> dict[str, float] | None:
    """The leaderboard's measure by the labels of the manifest, in percent, under the official names.

    It is what ``fouls evaluate-mvfoul`` calls corrected, where every labelled action has features. What the official
    program itself says depends on the annotated texts, which a manifest does not have.

    Args:
        predictions: of the tasks ``action`` and ``offence_severity``.
    """
    by_task = {prediction.task.name: prediction for prediction in predictions}
    accuracy: dict[str, float] = {}
    balanced: dict[str, float] = {}
    for task in ("offence_severity", "action"):
        known = by_task[task].labels >= 0
        if not known.any():
            return None
        labels, classes = by_task[task].labels[known], by_task[task].classes[known]
        hits, _, support = class_counts(labels, classes, len(by_task[task].task.classes))
        accuracy[f"accuracy_{task}"] = 100 * float((labels == classes).mean())
        balanced[f"balanced_accuracy_{task}"] = 100 * mean_defined(ratio(hits, support))
    return accuracy | balanced | {"leaderboard_value": sum(balanced.values()) / 2}


def _files(predictions: Sequence[Predictions], split: str) -> dict[str, bytes]:
    plain = mvfoul_submission(predictions, split)
    return {f"mvfoul_{split}.json": (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()}


CHALLENGE = Challenge(recognises=is_mvfoul, files=_files, scores=leaderboard, measure="leaderboard_value")
