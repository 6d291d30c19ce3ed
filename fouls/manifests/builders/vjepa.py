"""``vjepa``: the headerless, space-delimited ``.csv`` files that V-JEPA trains on."""

from __future__ import annotations

import csv

from fouls.errors import ManifestError
from fouls.manifests.builders.list_file import collect_lines, path_and_labels
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing
from fouls.manifests.class_names import ClassNames

_FOR_PATHS_WITH_SPACES = "::"
"""What V-JEPA puts between path and label where paths hold spaces."""


def collect(options: BuildOptions) -> Listing:
    """List the lines of every source.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a file can't be read, is empty, or has a line that is not a path and a label.
    """
    return collect_lines(options, _split_line)


def _split_line(text: str, place: str, classes: ClassNames | None) -> tuple[str, tuple[str, ...]]:
    if _FOR_PATHS_WITH_SPACES in text:
        fields = text.split(_FOR_PATHS_WITH_SPACES)
    elif text.startswith('"'):  # as pandas reads it
        fields = next(csv.reader([text], delimiter=" ", skipinitialspace=True))
    else:
        return path_and_labels(text, place, classes)
    if len(fields) != 2:
        raise ManifestError(f"{place}: {len(fields)} fields; a line is a path and a label")
    return fields[0].strip(), (fields[1].strip(),)


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names"}),
    summary="V-JEPA's .csv files: `path label` a line, no header",
)
