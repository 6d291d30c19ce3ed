"""What each task weighs in the loss, fixed or by its difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fouls.heads.losses.config import TaskWeighting

SCORE_OF: dict[TaskWeighting, str] = {"inverse_accuracy": "accuracy", "inverse_f1": "macro_f1"}
"""Weighting → the score that tells how hard a task is, under its name in the history."""

_LEAST_SCORE = 0.05


def task_weights(tasks: Sequence[str], fixed: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, float]:
    """What each task weighs, read anew after every epoch: w_k = f_k · r_k.

    r_k = (1 / s_k) / mean_j (1 / s_j), with s_k the task's score, 0.05 at least; its mean over the tasks that have a
    score is 1, and it is 1 for the others. Without any scores, before the first epoch, the weights are the fixed ones.

    Args:
        tasks: their names.
        fixed: f_k; 1 for those that are not named.
        scores: s_k in [0, 1], see :func:`difficulty_scores`.
    """
    inverse = {task: 1 / max(scores[task], _LEAST_SCORE) for task in tasks if task in scores}
    mean = sum(inverse.values()) / len(inverse) if inverse else 1.0
    return {task: fixed.get(task, 1.0) * inverse.get(task, mean) / mean for task in tasks}


def difficulty_scores(
    scores: Mapping[str, float], tasks: Sequence[str], weighting: TaskWeighting, split: str
) -> dict[str, float]:
    """What an epoch's line of the history says of how hard the tasks are; empty where the weights are fixed.

    Args:
        scores: ``valid/action/accuracy`` and so on → value.
        tasks: their names.
        weighting: decides which score.
        split: ``valid``, or ``train`` where there is no valid.
    """
    if weighting == "fixed":
        return {}
    names = {task: f"{split}/{task}/{SCORE_OF[weighting]}" for task in tasks}
    return {task: scores[name] for task, name in names.items() if name in scores}
