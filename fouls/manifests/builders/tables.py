"""Tables with a header, separated by commas, tabs or semicolons, as text."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ManifestError
from fouls.manifests.builders.sources import read_lines

_SEPARATORS = ",\t;"


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table whose cells are text without surrounding white space."""

    source: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, Mapping[str, str]], ...]
    """(file and line, for messages; column → text) a line; empty lines are left out."""

    def check(self, needed: Sequence[str], hint: str = "") -> None:
        """Refuse a table without a column that is needed, or without lines.

        Raises:
            ManifestError: so it is; ``hint`` says what may be meant instead.
        """
        for column in needed:
            if column not in self.header:
                there = f"(columns: {', '.join(self.header)})"
                raise ManifestError(f"{self.source}: no column {column!r} {there}{hint and f'; {hint}'}")
        if not self.rows:
            raise ManifestError(f"{self.source}: a header and no line below it")


def read_table(source: Path) -> TextTable:
    """Read a table; the separator is the one that the header has most of.

    Raises:
        ManifestError: not readable, empty, or a line has another number of fields than the header.
    """
    lines = [line + "\n" for line in read_lines(source)]
    if not lines[0].strip():
        raise ManifestError(f"{source}: an empty file, or an empty first line; it needs a header")
    reader = csv.reader(lines, delimiter=max(_SEPARATORS, key=lines[0].count))
    header = tuple(column.strip() for column in next(reader))
    rows = []
    for cells in reader:
        place = f"{source}: line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ManifestError(f"{place}: {len(cells)} fields, but the header has {len(header)}")
        rows.append((place, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}))
    return TextTable(source=source, header=header, rows=tuple(rows))
