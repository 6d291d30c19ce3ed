"""The label files of the mouse data: ``prediction_VIDEO_TRIAL.csv``, a line ``Frame,Action`` a frame of one trial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders.sources import absolute
from fouls.manifests.builders.tables import read_table

SHORT_BY = 15
"""Lines that those label files lack which begin so many frames after their trial."""

_NAME = re.compile(r"prediction_(?P<video>.+)_(?P<trial>[1-9]\d*)\.csv")


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """The labels of one trial, unread."""

    path: Path
    video: str
    """The video's file name."""
    trial: int
    """From 1."""


@dataclass(frozen=True, kw_only=True)
class TrialLabels:
    """The labels of one trial, as written."""

    offset: int
    """The frame of the trial that the first label is of."""
    inferred: bool
    """Whether the offset follows from how many lines the file lacks."""
    labels: tuple[str, ...]
    """One a frame."""
    places: tuple[str, ...]
    """File and line of each, for messages."""


def find_labels(source: Path) -> Iterator[LabelFile]:
    """The label files of a source, itself or all below a folder, in the order of their paths.

    Raises:
        ManifestError: there are none, or the source's name is not that of a label file.
    """
    source = absolute(source)
    paths = sorted(source.rglob("prediction_*.csv")) if source.is_dir() else [source]
    matches = [(path, match) for path in paths if (match := _NAME.fullmatch(path.name))]
    if not matches:
        missing = "no such files below it" if source.is_dir() else "not called like this"
        raise ManifestError(
            f"{source}: {missing}; format 'mouse' reads prediction_VIDEO_TRIAL.csv files, trials from 1"
        )
    for path, match in matches:
        yield LabelFile(path=path, video=match["video"], trial=int(match["trial"]))


def read_labels(path: Path, trial_frames: int, offset: int | None) -> TrialLabels:
    """Read a label file.

    Args:
        path: the file.
        trial_frames: frames of a trial.
        offset: the frame of the trial that the first line labels; ``None``: what its number says, where it is not 0,
            else 0 for a file of a whole trial and :data:`SHORT_BY` for one that is short by so much.

    Raises:
        ManifestError: it can't be read, its frames are not consecutive, or are too few or too many for a trial.
    """
    table = read_table(path)
    table.check(("Frame", "Action"))
    first = _first_frame(table.rows)
    missing = trial_frames - len(table.rows)
    if offset is None and first == 0 and missing not in (0, SHORT_BY):
        raise ManifestError(
            f"{path}: {len(table.rows)} frames, but a trial has {trial_frames}, or {trial_frames - SHORT_BY} from "
            f"frame {SHORT_BY} on; --trial-frames N sets what a trial has, --frame-offset N where its labels start"
        )
    inferred = offset is None and first == 0 and missing == SHORT_BY
    start = offset if offset is not None else SHORT_BY if inferred else first
    if start > missing:
        raise ManifestError(
            f"{path}: {len(table.rows)} frames, the first of them frame {start} of the trial, but a trial has "
            f"{trial_frames}; --trial-frames N sets what it has"
        )
    return TrialLabels(
        offset=start,
        inferred=inferred,
        labels=tuple(cells["Action"] for _, cells in table.rows),
        places=tuple(place for place, _ in table.rows),
    )


def _first_frame(rows: Sequence[tuple[str, Mapping[str, str]]]) -> int:
    """The number of the first line, after a look at all."""
    numbers = []
    for place, cells in rows:
        if not cells["Frame"].isdecimal():
            raise ManifestError(f"{place}, column 'Frame': {cells['Frame']!r} is no number of a frame")
        numbers.append(int(cells["Frame"]))
        if len(numbers) > 1 and numbers[-1] != numbers[-2] + 1:
            raise ManifestError(f"{place}: frame {numbers[-1]} after frame {numbers[-2]}; frames must be consecutive")
    return numbers[0]
