"""``ma52``: the lists of MA-52, micro-actions (https://arxiv.org/abs/2403.05234): 52 fine classes, and 7 coarse ones
that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders import list_file
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
from fouls.manifests.builders.sources import absolute

FINE_TASK, COARSE_TASK = "action", "body"

BODY_CLASSES = ("body", "head", "upper limb", "lower limb", "body-hand", "head-hand", "leg-hand")
"""The coarse classes, in the order of their indices: what moves, or what the hand touches."""

FINE_TO_COARSE = (0,) * 5 + (1,) * 6 + (2,) * 13 + (3,) * 8 + (4,) * 6 + (5,) * 10 + (6,) * 4
"""(52,) the coarse class of each fine one: 0–4 → 0, 5–10 → 1, 11–23 → 2, 24–31 → 3, 32–37 → 4, 38–47 → 5, 48–51 → 6."""

_CLASS_NAMES = "label_name.txt"
_TEST = "test"


def collect(options: BuildOptions) -> Listing:
    """List the lines of every source, with both tasks. Test lists are published with 0 for every label: no label.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a list can't be read, the names of the classes are nowhere, or they are not 52.
    """
    listing = list_file.collect(replace(options, task=FINE_TASK, class_names=_class_names(options)))
    names = listing.tasks[FINE_TASK]
    if len(names) != len(FINE_TO_COARSE):
        raise ManifestError(f"{len(names)} class names; MA-52 has {len(FINE_TO_COARSE)} (--class-names FILE)")
    test = [row.labels[FINE_TASK] for row in listing.rows if row.split == _TEST]
    held_back = bool(test) and set(test) == {0}
    notes = (f"test: all {len(test):,} labels are 0, which stands for labels held back: read as none",)
    return replace(
        listing,
        rows=tuple(replace(row, labels=_labels(row, held_back)) for row in listing.rows),
        name="ma52",
        tasks={FINE_TASK: names, COARSE_TASK: BODY_CLASSES},
        notes=listing.notes + (notes if held_back else ()),
    )


def _class_names(options: BuildOptions) -> Mapping[str, Path]:
    """``--class-names``, or the published file beside the first list that has it."""
    if options.class_names:
        return options.class_names
    for source in options.sources:
        file = absolute(source).parent / _CLASS_NAMES
        if file.is_file():
            return {FINE_TASK: file}
    raise ManifestError(f"no {_CLASS_NAMES} beside {options.sources[0]}; --class-names FILE names it")


def _labels(row: Row, held_back: bool) -> Mapping[str, int | None]:
    fine = row.labels[FINE_TASK]
    if not isinstance(fine, int) or (held_back and row.split == _TEST):
        return {FINE_TASK: None, COARSE_TASK: None}
    return {FINE_TASK: fine, COARSE_TASK: FINE_TO_COARSE[fine]}


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "splits", "class_names"}),
    summary="the lists of MA-52, fine and coarse classes",
)
