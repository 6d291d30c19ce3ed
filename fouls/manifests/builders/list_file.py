"""``list``: text files with ``path label`` a line, as Kinetics and UCF-101 have them, or with several labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders.listing import Builder, BuildOptions, Labels, Listing, Row
from fouls.manifests.builders.sources import (
    absolute,
    class_names_of,
    common_folder,
    name_of,
    read_lines,
    resolved,
    root_folders,
    splits_of,
)
from fouls.manifests.class_names import ClassNames, are_numbers, encode_many, encode_names, encode_numbers
from fouls.manifests.media_files import is_media_file
from fouls.manifests.schema import is_url

DEFAULT_TASK = "action"
"""Task of a list's labels where no other name is given."""

_LABELS = re.compile(r"(?P<path>.*?\S)(?P<labels>(?:\s+[+-]?\d+)+)")
_COMMA = re.compile(r".*,\s*-?\d+")


@dataclass(frozen=True, kw_only=True)
class _Line:
    path: str
    labels: tuple[str, ...]
    """As written."""
    split: str
    place: str


SplitLine = Callable[[str, str, ClassNames | None], tuple[str, tuple[str, ...]]]
"""(line, place for messages, the class names given) → path and labels."""


def collect(options: BuildOptions) -> Listing:
    """List the lines of every source. Labels are the last fields, since paths may hold spaces.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a list can't be read, is empty, or has a line with an unknown label, or with several where one is
            read.
    """
    return collect_lines(options, path_and_labels)


def collect_lines(options: BuildOptions, split_line: SplitLine) -> Listing:
    """List the lines of every source.

    Args:
        options: as of :func:`collect`.
        split_line: takes a line apart.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a list can't be read, is empty, or has a line that ``split_line`` refuses or an unknown label.
    """
    task = options.task or DEFAULT_TASK
    classes = class_names_of(task, [task], options)
    sources = [absolute(source) for source in options.sources]
    roots = root_folders(options) or [source.parent for source in sources]
    splits, notes = splits_of(options)
    lines = []
    for source, root, split in zip(sources, roots, splits, strict=True):
        for place, text in _lines(source):
            path, labels = split_line(text, place, classes)
            lines.append(_Line(path=resolved(path, root), labels=labels, split=split, place=place))
    names, labels_of_lines = _encode(lines, classes, several=options.multi_label)
    tasks = {task: names} if names else {}
    rows = tuple(
        Row(path=line.path, place=line.place, split=line.split, labels={task: labels} if tasks else {})
        for line, labels in zip(lines, labels_of_lines, strict=True)
    )
    return Listing(
        rows=rows,
        root=common_folder(roots),
        name=name_of(sources),
        tasks=tasks,
        kinds={task: "multi_label"} if options.multi_label and tasks else {},
        notes=notes,
    )


def _encode(
    lines: Sequence[_Line], classes: ClassNames | None, *, several: bool
) -> tuple[tuple[str, ...], Sequence[Labels]]:
    """Class names, and what each line's row says of the task."""
    for line in lines:
        if len(line.labels) > 1 and not several:
            raise ManifestError(
                f"{line.place}: several labels ({' '.join(line.labels)}); --format list --multi-label reads them all"
            )
        if several and not are_numbers(line.labels):
            raise ManifestError(f"{line.place}: label {line.labels[0]!r}: --multi-label reads labels that are numbers")
    if several:
        return encode_many([line.labels for line in lines], classes, lambda row: lines[row].place)
    labels = [line.labels[0] if line.labels else "" for line in lines]
    encode = encode_numbers if are_numbers(labels) else encode_names
    return encode(labels, classes, lambda row: lines[row].place)


def _lines(source: Path) -> list[tuple[str, str]]:
    """Place and text of the lines that are not empty."""
    lines = [(f"{source}: line {number}", text.strip()) for number, text in enumerate(read_lines(source), start=1)]
    lines = [(place, text) for place, text in lines if text]
    if not lines:
        raise ManifestError(f"{source}: an empty list; a line is `path label`")
    return lines


def path_and_labels(text: str, place: str, classes: ClassNames | None) -> tuple[str, tuple[str, ...]]:
    """Path and labels of a line: the numbers at its end, else the last field where that is a class's name.

    Raises:
        ManifestError: a folder of frames, or fields separated by commas.
    """
    match = _LABELS.fullmatch(text)
    if match is not None:
        path, labels = match["path"], tuple(match["labels"].split())
        if len(labels) > 1 and not (is_url(path) or is_media_file(os.path.basename(path))):
            raise ManifestError(
                f"{place}: {path!r} has no ending of a video file, so {' '.join(labels)} look like a number of frames "
                "and a label: folders of frames are not supported, make videos of them"
            )
        return path, labels
    path, _, last = text.rpartition("\t" if "\t" in text else " ")
    if path and classes is not None and last in classes.names:
        return path.rstrip(), (last,)
    if _COMMA.fullmatch(text):
        raise ManifestError(f"{place}: {text!r} has commas between its fields; --format csv reads such files")
    return text, ()


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names", "multi_label"}),
    summary="text files with `path label` a line",
)
