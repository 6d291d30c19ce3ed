"""How scores, and what is missing behind them, are printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.heads.coverage import Coverage
    from fouls.heads.report import SplitScores

_Columns = tuple[tuple[str, tuple[str, ...]], ...]
"""Name of each column, and where its value lies in the scores."""

_OF_CLASSES: _Columns = (
    ("accuracy", ("accuracy",)),
    ("balanced", ("balanced_accuracy",)),
    ("macro F1", ("macro_f1",)),
    ("top-5", ("top5_accuracy",)),
)
_OF_PROBABILITIES: _Columns = (
    ("mAP", ("mean_average_precision",)),
    ("macro F1 with thresholds", ("macro_f1_with_thresholds",)),
    ("ECE", ("ece",)),
)
_OF_SEGMENTS: _Columns = (
    ("edit", ("segments", "edit")),
    ("F1@10", ("segments", "f1@10")),
    ("F1@25", ("segments", "f1@25")),
    ("F1@50", ("segments", "f1@50")),
    ("F1 IoU 0.3", ("segments", "f1_iou_30")),
)


def warn_of_missing(coverage: Coverage) -> None:
    """Say which labelled samples lack features, if any does."""
    missing = coverage.describe()
    if missing:
        console.warn(missing)


def warn_of_mapped(size_bytes: int) -> None:
    """Say that features lie in a temporary file, if they do."""
    if size_bytes:
        import tempfile

        console.warn(
            f"the features ({size_bytes / 2**30:.1f} GiB) are more than memory holds: they were unpacked into a "
            f"temporary file in {tempfile.gettempdir()} (TMPDIR names another folder), which goes when this ends"
        )


def print_scores(by_split: dict[str, SplitScores]) -> None:
    """One line a task and split, each measure beside what a guess would get."""
    _print("in %; balanced: mean over classes; in brackets: a guess that does not look", by_split, _OF_CLASSES)


def print_more_scores(by_split: dict[str, SplitScores]) -> None:
    """How good the probabilities are, and the segments of tasks with a label a frame."""
    _print(
        "in %; mAP: average precision, mean over classes; ECE: expected calibration error", by_split, _OF_PROBABILITIES
    )
    print_segments(by_split)


def print_segments(by_split: dict[str, SplitScores]) -> None:
    """The segments of tasks with a label a frame."""
    _print("segments, in %", by_split, _OF_SEGMENTS, in_percent=True)


def print_challenges(challenges: Mapping[str, Mapping[str, float]]) -> None:
    """One line a challenge: the measure that decides, and what it is made of."""
    from fouls.heads.submissions import CHALLENGES

    for name, scores in challenges.items():
        measure = CHALLENGES[name].measure
        others = [f"{other} {value:.2f}" for other, value in scores.items() if other != measure]
        made_of = f" ({', '.join(others)})" if others else ""
        console.say(f"{name}: {measure} {scores[measure]:.2f}{made_of}")


def _print(title: str, by_split: dict[str, SplitScores], columns: _Columns, *, in_percent: bool = False) -> None:
    """One line for each task and split that has any of the values; columns without any are left out."""
    rows: list[list[Any]] = []
    for task in next(iter(by_split.values())):
        for split, by_task in by_split.items():
            cells = [_cell(by_task[task], path, 1 if in_percent else 100) for _, path in columns]
            if any(cell is not None for cell in cells):
                rows.append([task, split, by_task[task]["labelled"], *cells])
    if not rows:
        return
    names = ["task", "split", "labels", *(name for name, _ in columns)]
    kept = [index for index in range(len(names)) if any(row[index] is not None for row in rows)]
    console.table(title, [names[index] for index in kept], [[row[index] for index in kept] for row in rows])


def _cell(scores: Mapping[str, Any], path: tuple[str, ...], scale: float) -> str | None:
    """A value in percent, with that of a guess where there is one."""
    value, chance = _at(scores, path), _at(scores, ("chance", *path))
    if value is None:
        return None
    return f"{scale * value:5.1f}" if chance is None else f"{scale * value:5.1f} ({scale * chance:.1f})"


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = scores
    for name in path:
        found = found.get(name) if found is not None else None
    return None if found is None else float(found)
