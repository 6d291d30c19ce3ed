"""What is wrong with a manifest, said with file, row, column and value."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from fouls.errors import ManifestError


def place_of(table: pa.Table, row: int, column: str, source: str) -> str:
    """File, row (0-based) with its ``video_id``, and column."""
    return f"{source}: row {row} (video_id {table['video_id'][row].as_py()!r}), column {column!r}"


def complain(table: pa.Table, wrong: pa.ChunkedArray, column: str, source: str, rule: str) -> None:
    """Raise for the first row in which ``wrong`` is true; null is not wrong.

    Raises:
        ManifestError: there is such a row; the message ends in its value and ``rule``.
    """
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise ManifestError(f"{place_of(table, row, column, source)}: {table[column][row].as_py()!r} {rule}")


def complain_of_length(table: pa.Table, column: str, source: str, what: str) -> None:
    """Raise for the first list that has more entries than its video has frames, where that was probed.

    Raises:
        ManifestError: there is such a list; the message says how many entries, called ``what``.
    """
    longer = pc.greater(pc.list_value_length(table[column]), table["num_frames"])
    row = pc.index(pc.and_(pc.is_null(table["probe_error"]), longer), True).as_py()
    if row >= 0:
        length, frames = len(table[column][row]), table["num_frames"][row].as_py()
        raise ManifestError(f"{place_of(table, row, column, source)}: {length} {what} for {frames} frames")
