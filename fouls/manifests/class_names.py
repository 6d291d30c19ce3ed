"""Class names from files, and the labels that lists, tables and folders give, as indices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.schema import MAX_CLASSES

_NUMBERED = re.compile(r"(\d+)[\t ]+(\S.*)")
_INTEGER = re.compile(r"[+-]?\d+")
UNLABELLED = ("", "-1")
"""How lists and tables write that there is no label."""


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The classes of a task, and by what number a list calls each of them."""

    names: tuple[str, ...]
    numbers: Mapping[int, int]
    """Number in a list → index; the same unless the file of names numbers them otherwise (from 1, say)."""
    source: str
    """Where the names are from, for messages."""


def read_class_names(path: Path) -> ClassNames:
    """Read a file with one class name a line; the order is that of the indices.

    Where every line starts with a number (``0<tab>shaking body``, ``1 ApplyEyeMakeup``), that is the number by which
    lists call the class; the indices follow the order of the numbers.

    Raises:
        ManifestError: not readable, empty, or a name or number stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: class names can't be read ({error})") from error
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise ManifestError(f"{path}: no class names in it; one a line is needed")
    matches = [match for match in map(_NUMBERED.fullmatch, lines) if match]
    numbered = len(matches) == len(lines)
    pairs = sorted((int(match[1]), match[2]) for match in matches) if numbered else list(enumerate(lines))
    _check_once(path, "number", [str(number) for number, _ in pairs])
    _check_once(path, "class", [name for _, name in pairs])
    return ClassNames(
        names=tuple(name for _, name in pairs),
        numbers={number: index for index, (number, _) in enumerate(pairs)},
        source=str(path),
    )


def _check_once(path: Path, what: str, values: Sequence[str]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise ManifestError(f"{path}: {what} {value!r} stands there {count} times")


def are_numbers(labels: Sequence[str]) -> bool:
    """Whether labels are written as indices: all of them integers (what is not labelled does not count)."""
    return all(_INTEGER.fullmatch(label) for label in labels if label not in UNLABELLED)


def encode_numbers(
    labels: Sequence[str], classes: ClassNames | None, place: Callable[[int], str]
) -> tuple[tuple[str, ...], list[int | None]]:
    """Class names and indices from labels that are numbers.

    Args:
        labels: integers as text; ``""`` and ``"-1"`` are no label.
        classes: the class names; ``None``: ``"0"`` to the greatest number found.
        place: where label i was read (file, line), for messages.

    Raises:
        ManifestError: a number that is no class.
    """
    numbers = [None if label in UNLABELLED else int(label) for label in labels]
    if classes is None:
        allowed = range(MAX_CLASSES)
        known: Mapping[int, int] = {number: number for number in set(numbers) if number in allowed}  # type: ignore[misc]
        names = tuple(str(index) for index in range(max(known, default=-1) + 1))
        rule = f"allowed: 0 to {MAX_CLASSES - 1}, -1 for no label"
    else:
        known, names = classes.numbers, classes.names
        rule = f"{classes.source} has {len(names)} classes, {min(known)} to {max(known)}"
    for row, number in enumerate(numbers):
        if number is not None and number not in known:
            raise ManifestError(f"{place(row)}: label {number} is no class; {rule}")
    return names, [None if number is None else known[number] for number in numbers]


def encode_names(
    labels: Sequence[str], classes: ClassNames | None, place: Callable[[int], str]
) -> tuple[tuple[str, ...], list[int | None]]:
    """Class names and indices from labels that are names.

    Args:
        labels: class names; ``""`` and ``"-1"`` are no label.
        classes: the class names; ``None``: those found, sorted.
        place: where label i was read (file, line), for messages.

    Raises:
        ManifestError: a name that is no class.
    """
    names = tuple(sorted(set(labels) - set(UNLABELLED))) if classes is None else classes.names
    index_of = {name: index for index, name in enumerate(names)}
    for row, label in enumerate(labels):
        if label not in UNLABELLED and label not in index_of:
            source = "" if classes is None else f" of {classes.source}"
            raise ManifestError(f"{place(row)}: label {label!r} is none of the {len(names)} classes{source}")
    return names, [index_of.get(label) for label in labels]


def encode_many(
    labels: Sequence[Sequence[str]], classes: ClassNames | None, place: Callable[[int], str]
) -> tuple[tuple[str, ...], list[tuple[int, ...] | None]]:
    """Class names and indices from any number of labels a video, all numbers or all names.

    Args:
        labels: those of each video; a video that has only ``""`` or ``"-1"``, or none at all, has no label.
        classes: the class names; ``None``: those found, as :func:`encode_numbers` and :func:`encode_names` say.
        place: where the labels of video i were read (file, line), for messages.

    Returns:
        The names, and for each video its indices, ascending, each once.

    Raises:
        ManifestError: a label that is no class, or no label beside others.
    """
    entries = [(video, label) for video, several in enumerate(labels) for label in several]
    for video, several in enumerate(labels):
        if len(several) > 1 and any(label in UNLABELLED for label in several):
            raise ManifestError(f"{place(video)}: labels {', '.join(several)}: '' and -1 stand alone, for no label")
    texts = [label for _, label in entries]
    encode = encode_numbers if are_numbers(texts) else encode_names
    names, indices = encode(texts, classes, lambda entry: place(entries[entry][0]))
    found: list[set[int]] = [set() for _ in labels]
    for (video, _), index in zip(entries, indices, strict=True):
        if index is not None:
            found[video].add(index)
    return names, [tuple(sorted(several)) or None for several in found]
