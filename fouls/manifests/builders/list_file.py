"""``list``: text files with ``path label`` a line, as Kinetics, UCF-101, MA-52 and V-JEPA have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
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
from fouls.manifests.class_names import ClassNames, are_numbers, encode_names, encode_numbers

DEFAULT_TASK = "action"
"""Task of a list's labels where no other name is given."""

_LABELS = re.compile(r"(?P<path>.*?\S)(?P<labels>(?:\s+[+-]?\d+)+)")
_COMMA = re.compile(r".*,\s*-?\d+")


@dataclass(frozen=True, kw_only=True)
class _Line:
    path: str
    label: str
    """As written; ``""``: none."""
    split: str
    place: str


SplitLine = Callable[[str, str, ClassNames | None], tuple[str, str]]
"""(line, place for messages, the class names given) → path and label, the label ``""`` where the line has none."""


def collect(options: BuildOptions) -> Listing:
    """List the lines of every source. The label is the last field, since paths may hold spaces.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a list can't be read, is empty, or has a line with several labels or an unknown one.
    """
    return collect_lines(options, path_and_label)


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
            path, label = split_line(text, place, classes)
            lines.append(_Line(path=resolved(path, root), label=label, split=split, place=place))
    labels = [line.label for line in lines]
    encode = encode_numbers if are_numbers(labels) else encode_names
    names, indices = encode(labels, classes, lambda row: lines[row].place)
    tasks = {task: names} if names else {}
    rows = tuple(
        Row(path=line.path, place=line.place, split=line.split, labels={task: index} if tasks else {})
        for line, index in zip(lines, indices, strict=True)
    )
    return Listing(rows=rows, root=common_folder(roots), name=name_of(sources), tasks=tasks, notes=notes)


def _lines(source: Path) -> list[tuple[str, str]]:
    """Place and text of the lines that are not empty."""
    lines = [(f"{source}: line {number}", text.strip()) for number, text in enumerate(read_lines(source), start=1)]
    lines = [(place, text) for place, text in lines if text]
    if not lines:
        raise ManifestError(f"{source}: an empty list; a line is `path label`")
    return lines


def path_and_label(text: str, place: str, classes: ClassNames | None) -> tuple[str, str]:
    """Path and label of a line; the label is ``""`` where it has none.

    Raises:
        ManifestError: several labels, or fields separated by commas.
    """
    match = _LABELS.fullmatch(text)
    if match is not None:
        labels = match["labels"].split()
        if len(labels) > 1:
            raise ManifestError(
                f"{place}: several labels ({' '.join(labels)}): lists with many labels a video, or of folders of "
                "frames (`folder frames label`), are not supported"
            )
        return match["path"], labels[0]
    path, _, last = text.rpartition("\t" if "\t" in text else " ")
    if path and classes is not None and last in classes.names:
        return path.rstrip(), last
    if _COMMA.fullmatch(text):
        raise ManifestError(f"{place}: {text!r} has commas between its fields; --format csv reads such files")
    return text, ""


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names"}),
    summary="text files with `path label` a line",
)
