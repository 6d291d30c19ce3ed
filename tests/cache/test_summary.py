"""What a store says of itself in short, counted a second time by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from fouls.cache.layout import resize_arrays
from fouls.cache.rows import ROW_SCHEMA, append_rows, read_rows
from fouls.cache.store import Store
from fouls.cache.summary import summarise

from .conftest import fill, index


def as_pass(rows: pa.Table, augment: int) -> pa.Table:
    place = ROW_SCHEMA.names.index("augment")
    return rows.set_column(place, ROW_SCHEMA.field(place), pa.array([augment] * rows.num_rows, pa.int16()))


def test_counts(store: Store) -> None:
    """Ten videos; one more pass of three of them, one changed since, and one that is new."""
    append_rows(store.path, as_pass(index(12, ["v0", "v1", "v2"]), 1))
    append_rows(store.path, index(16, ["v1", "new"], content_hash="h2"))
    resize_arrays(store.path, 18)
    fill(store, 0, [0, 1, 2], failed=[3])
    fill(store, 1, [4, 5, 6, 7])
    fill(store, 4, [16])
    summary = summarise(store)
    assert (summary.videos, summary.retired) == (11, 2)  # row 1 and row 13 are those of v1 as it was
    assert (summary.rows, summary.done, summary.failed, summary.todo) == (13, 7, 1, 5)
    assert (summary.blocks, summary.decoders) == (3, {"decord": 8})
    assert summary.seconds == pytest.approx({"forward": 3.0, "wait": 1.5, "write": summary.seconds["write"]})


def test_bytes_are_those_of_all_files(store: Store) -> None:
    fill(store, 0, [0, 1, 2, 3])
    expected = sum(os.path.getsize(Path(root, name)) for root, _, names in os.walk(store.path) for name in names)
    assert summarise(store).bytes == expected


def test_an_empty_plan(store: Store) -> None:
    for file in (store.path / "rows").glob("0*"):
        file.unlink()
    summary = summarise(store)
    assert (summary.rows, summary.videos, summary.todo) == (0, 0, 0)


def test_some_columns_of_the_index_are_those_of_the_whole(store: Store) -> None:
    append_rows(store.path, index(12, ["v1", "v2"], content_hash="h2"))
    whole, retired = read_rows(store.path)
    some, retired_of_some = read_rows(store.path, ["content_hash", "row"])
    assert some.column_names == ["content_hash", "row"]
    assert some == whole.select(["content_hash", "row"])
    assert retired_of_some.tolist() == retired.tolist() == [number in (1, 2) for number in range(12)]
