"""How scores, and what is missing behind them, are printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.heads.coverage import Coverage
    from fouls.heads.report import SplitScores

_COLUMNS = {
    "accuracy": ("accuracy",),
    "chance": ("chance", "accuracy"),
    "balanced": ("balanced_accuracy",),
    "chance ": ("chance", "balanced_accuracy"),
    "macro F1": ("macro_f1",),
    "top-5": ("top5_accuracy",),
    "mAP": ("mean_average_precision",),
    "ECE": ("ece",),
}
"""Column → where its value lies in the scores."""

_SEGMENTS = {"edit": "edit", "F1@10": "f1@10", "F1@25": "f1@25", "F1@50": "f1@50", "F1 IoU 0.3": "f1_iou_30"}
"""Column → its value among the scores of segments."""


def warn_of_missing(coverage: Coverage) -> None:
    """Say which labelled samples lack features, if any does."""
    missing = coverage.describe()
    if missing:
        console.warn(missing)


def print_scores(by_split: dict[str, SplitScores]) -> None:
    """One line a task and split, each measure beside what a guess would get; then the segments of tasks of frames."""
    scored = [
        (task, split, scores)
        for task in next(iter(by_split.values()))
        for split, by_task in by_split.items()
        if (scores := by_task[task])["labelled"]
    ]
    rows = [
        [task, split, scores["labelled"], *(_percent(_at(scores, path)) for path in _COLUMNS.values())]
        for task, split, scores in scored
    ]
    _table(
        "in %; balanced: mean over classes; chance: a guess that does not look",
        ["task", "split", "labels", *_COLUMNS],
        rows,
    )
    segments = [
        [
            task,
            split,
            scores["segments"]["videos"],
            *(f"{scores['segments'][name]:5.1f}" for name in _SEGMENTS.values()),
        ]
        for task, split, scores in scored
        if "segments" in scores
    ]
    if segments:
        _table("segments, in %", ["task", "split", "videos", *_SEGMENTS], segments)


def print_challenges(challenges: Mapping[str, Mapping[str, float]]) -> None:
    """One line a challenge: the measure that decides, and what it is made of."""
    from fouls.heads.submissions import CHALLENGES

    for name, scores in challenges.items():
        measure = CHALLENGES[name].measure
        others = ", ".join(f"{other} {value:.2f}" for other, value in scores.items() if other != measure)
        console.out.print(f"{name}: {measure} {scores[measure]:.2f} ({others})")


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = scores
    for name in path:
        found = found.get(name) if found is not None else None
    return None if found is None else float(found)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:5.1f}"


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print the columns in which anything stands."""
    kept = [index for index in range(len(columns)) if any(row[index] is not None for row in rows)]
    console.table(title, [columns[index].strip() for index in kept], [[row[index] for index in kept] for row in rows])
