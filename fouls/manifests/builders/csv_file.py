"""``csv``: tables with a column ``path`` and any other of a manifest, separated by commas, tabs or semicolons."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.listing import Builder, BuildOptions, Labels, Listing, Row
from fouls.manifests.builders.sources import (
    absolute,
    class_names_of,
    common_folder,
    name_of,
    one_for_each,
    resolved,
    root_folders,
)
from fouls.manifests.builders.tables import read_table
from fouls.manifests.class_names import ClassNames, are_numbers, encode_many, encode_names, encode_numbers
from fouls.manifests.schema import (
    BASE_FIELDS,
    FRAME_LABEL_PREFIX,
    KEYPOINTS_COLUMN,
    LABEL_PREFIX,
    MULTI_LABEL_PREFIX,
    is_url,
    label_tasks,
    multi_label_tasks,
)
from fouls.manifests.splits import canonical_split
from fouls.video.probe import Probe
from fouls.video.types import VideoInfo

_COLUMNS = tuple(field.name for field in BASE_FIELDS)
_LABEL_PREFIXES = (LABEL_PREFIX, MULTI_LABEL_PREFIX)
_BETWEEN_LABELS = "|"
"""In a cell of a ``multi_label`` column."""
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """One line: column → text, without surrounding white space."""

    cells: Mapping[str, str]
    root: Path
    split: str
    place: str

    def text(self, column: str) -> str | None:
        return self.cells.get(column) or None

    def number(self, column: str, kind: Callable[[str], _Number]) -> _Number | None:
        text = self.text(column)
        try:
            return None if text is None else kind(text)
        except ValueError as error:
            what = "an integer" if kind is int else "a number"
            raise ManifestError(f"{self.place}, column {column!r}: {text!r} is not {what}") from error


def collect(options: BuildOptions) -> Listing:
    """List the rows of every source.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a file can't be read, lacks ``path`` or the task's column, or a value has the wrong type.
    """
    sources = [absolute(source) for source in options.sources]
    roots = root_folders(options) or [source.parent for source in sources]
    splits = one_for_each([canonical_split(split) for split in options.splits], options, "--split")
    splits = splits or [""] * len(sources)
    records: list[_Record] = []
    columns: dict[str, None] = {}
    for source, root, split in zip(sources, roots, splits, strict=True):
        table = read_table(source)
        _check_header(table.header, source, options, split)
        table.check(["path"], "lists without a header are --format list")
        columns |= dict.fromkeys(table.header)
        records += [_Record(cells=cells, root=root, split=split, place=place) for place, cells in table.rows]
    label_columns = {task: LABEL_PREFIX + task for task in label_tasks(list(columns))}
    label_columns |= {task: MULTI_LABEL_PREFIX + task for task in multi_label_tasks(list(columns))}
    if options.task is not None:
        label_columns[options.task] = options.task
    tasks, labels = _labels(records, label_columns, options)
    rows = _rows(records, labels)
    left_out = [column for column in columns if column not in _COLUMNS and column not in label_columns.values()]
    notes = (f"columns left out, no columns of a manifest: {', '.join(left_out)}",) if left_out else ()
    return Listing(
        rows=tuple(rows),
        root=common_folder(roots),
        name=name_of(sources),
        tasks=tasks,
        kinds={task: "multi_label" for task in tasks if label_columns[task] == MULTI_LABEL_PREFIX + task},
        notes=notes,
    )


def _check_header(header: Sequence[str], source: Path, options: BuildOptions, split: str) -> None:
    for column, count in Counter(header).items():
        if count > 1:
            raise ManifestError(f"{source}: column {column!r} is there {count} times")
        if (
            column.startswith(LABEL_PREFIX)
            and (other := MULTI_LABEL_PREFIX + column.removeprefix(LABEL_PREFIX)) in header
        ):
            raise ManifestError(f"{source}: columns {column!r} and {other!r}; a task has one of them")
        if column.startswith(FRAME_LABEL_PREFIX) or column == KEYPOINTS_COLUMN:
            raise ManifestError(f"{source}: column {column!r}: a table with one line a video can't hold lists by frame")
        suggestion = _misspelt(column)
        if suggestion is not None and column != options.task:
            raise ManifestError(f"{source}: column {column!r}: did you mean {suggestion!r}?")
    if options.task is not None and options.task not in header:
        raise ManifestError(f"{source}: --task {options.task}: no such column (columns: {', '.join(header)})")
    if options.task in _COLUMNS:
        raise ConfigError(f"--task {options.task} is a column of its own meaning; rename it to label.{options.task}")
    if split and "split" in header:
        raise ConfigError(f"--split is given, but {source} has a column 'split'")


def _misspelt(column: str) -> str | None:
    """The column that was meant, where one is nearly hit."""
    prefix, dot, task = column.partition(".")
    if column in _COLUMNS or prefix + dot in _LABEL_PREFIXES:
        return None
    close = difflib.get_close_matches(prefix + dot, _LABEL_PREFIXES if dot else _COLUMNS, n=1, cutoff=0.8)
    return close[0] + task if close else None


def _labels(
    records: Sequence[_Record], columns: Mapping[str, str], options: BuildOptions
) -> tuple[dict[str, tuple[str, ...]], list[dict[str, Labels]]]:
    """Task → class names, and task → labels a record."""
    tasks: dict[str, tuple[str, ...]] = {}
    labels: list[dict[str, Labels]] = [{} for _ in records]
    if options.class_names and not columns:
        raise ConfigError("--class-names: no label column; name one `label.TASK`, or give --task COLUMN")
    for task, column in columns.items():
        texts = [record.cells.get(column, "") for record in records]
        classes = class_names_of(task, list(columns), options)
        places = [f"{record.place}, column {column!r}" for record in records]
        names, found = _encode(texts, classes, places, several=column == MULTI_LABEL_PREFIX + task)
        if names:
            tasks[task] = names
            for labels_of_record, of_task in zip(labels, found, strict=True):
                labels_of_record[task] = of_task
    return tasks, labels


def _encode(
    texts: Sequence[str], classes: ClassNames | None, places: Sequence[str], *, several: bool
) -> tuple[tuple[str, ...], Sequence[Labels]]:
    """Class names, and what each cell says."""
    if several:
        cells = [[label.strip() for label in text.split(_BETWEEN_LABELS)] for text in texts]
        return encode_many(cells, classes, places.__getitem__)
    encode = encode_numbers if are_numbers(texts) else encode_names
    return encode(texts, classes, places.__getitem__)


def _rows(records: Sequence[_Record], labels: Sequence[Mapping[str, Labels]]) -> Iterator[Row]:
    views: Counter[str | None] = Counter()
    for record, label in zip(records, labels, strict=True):
        path = record.text("path")
        if path is None:
            raise ManifestError(f"{record.place}, column 'path': empty")
        sample_id, view = record.text("sample_id"), record.number("view", int)
        if view is None:  # without numbers, views count in the order of their lines
            view = views[sample_id] if sample_id is not None else 0
        views[sample_id] += 1
        yield Row(
            path=resolved(path, record.root),
            place=record.place,
            video_id=record.text("video_id"),
            sample_id=sample_id,
            view=view,
            view_kind=record.text("view_kind"),
            replay_speed=record.number("replay_speed", float),
            split=canonical_split(record.cells["split"]) if "split" in record.cells else record.split,
            start_frame=record.number("start_frame", int),
            stop_frame=record.number("stop_frame", int),
            labels=label,
            known=_known(record) if is_url(path) else None,
        )


def _known(record: _Record) -> Probe | None:
    """What the table itself says about a video that is not a file here."""
    num_frames, fps = record.number("num_frames", int), record.number("fps", float)
    width, height = record.number("width", int), record.number("height", int)
    if not (num_frames and fps and width and height):
        return None
    info = VideoInfo(
        num_frames=num_frames,
        fps=fps,
        width=width,
        height=height,
        duration_seconds=record.number("duration_seconds", float) or num_frames / fps,
        codec=record.text("codec") or "",
    )
    size_bytes, content_hash = record.number("size_bytes", int), record.text("content_hash")
    return Probe(info=info, size_bytes=size_bytes, modified_ns=None, content_hash=content_hash, error=None)


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names"}),
    summary="a table with a column `path` and any other of a manifest",
)
