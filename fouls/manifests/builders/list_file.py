"""``list``: text files with ``path label`` a line, as Kinetics, UCF-101, MA-52 and V-JEPA have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders.listing import (
    DEFAULT_TASK,
    Builder,
    BuildOptions,
    Listing,
    Row,
    absolute,
    class_names_of,
    common_folder,
    one_for_each,
    read_lines,
    resolved,
    root_folders,
)
from fouls.manifests.class_names import ClassNames, are_numbers, encode_names, encode_numbers
from fouls.manifests.splits import canonical_split, split_in_file_name

_LABELS = re.compile(r"(?P<path>.*?\S)(?P<labels>(?:\s+[+-]?\d+)+)")
_COMMA = re.compile(r".*,\s*-?\d+")


@dataclass(frozen=True, kw_only=True)
class _Line:
    path: str
    label: str
    """As written; ``""``: none."""
    split: str
    place: str


def collect(options: BuildOptions) -> Listing:
    """List the lines of every source. The label is the last field, since paths may hold spaces.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a list can't be read, is empty, or has a line with several labels or an unknown one.
    """
    task = options.task or DEFAULT_TASK
    classes = class_names_of(task, [task], options)
    sources = [absolute(source) for source in options.sources]
    roots = root_folders(options) or [source.parent for source in sources]
    splits, notes = _splits(options)
    lines = [
        line
        for source, root, split in zip(sources, roots, splits, strict=True)
        for line in _read(source, root, split, classes)
    ]
    labels = [line.label for line in lines]
    encode = encode_numbers if are_numbers(labels) else encode_names
    names, indices = encode(labels, classes, lambda row: lines[row].place)
    tasks = {task: names} if names else {}
    rows = tuple(
        Row(path=line.path, place=line.place, split=line.split, labels={task: index} if tasks else {})
        for line, index in zip(lines, indices, strict=True)
    )
    name = sources[0].stem if len(sources) == 1 else common_folder(source.parent for source in sources).name
    return Listing(rows=rows, root=common_folder(roots), name=name, tasks=tasks, notes=notes)


def _splits(options: BuildOptions) -> tuple[list[str], tuple[str, ...]]:
    given = one_for_each([canonical_split(split) for split in options.splits], options, "--split")
    if given is not None:
        return given, ()
    splits, notes = [], []
    for source in options.sources:
        split = split_in_file_name(source.name)
        splits.append(split or "")
        notes.append(
            f"{source.name}: no split in its name, so its rows have none; --split NAME sets it"
            if split is None
            else f"{source.name}: split {split!r}, read from its name; --split NAME sets another"
        )
    return splits, tuple(notes)


def _read(source: Path, root: Path, split: str, classes: ClassNames | None) -> list[_Line]:
    lines = []
    for number, text in enumerate(read_lines(source), start=1):
        if text.strip():
            place = f"{source}: line {number}"
            path, label = _fields(text.strip(), place, classes)
            lines.append(_Line(path=resolved(path, root), label=label, split=split, place=place))
    if not lines:
        raise ManifestError(f"{source}: an empty list; a line is `path label`")
    return lines


def _fields(text: str, place: str, classes: ClassNames | None) -> tuple[str, str]:
    """Path and label; the label is ``""`` where the line has none."""
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
