"""A store from a stranger leaves its folder nowhere, and what is wrong in it is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fouls.cache.attributes import seal
from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import complete_group, create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.repair import repair
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.errors import StoreError
from fouls.pipeline.options import ExtractOptions
from tests.cache.conftest import fill, index, make_spec, make_store, store, templates, tree
from tests.cache.test_verify import edit, flip

__all__ = ["make_store", "store", "templates"]


@pytest.mark.parametrize(
    "pool", ["../escaped", "/tmp/escaped", "a/b", "..", ".", "", "rows", "ledger", "a\0b", "x" * 99]
)
def test_a_pool_that_leads_out_of_the_store_is_refused(tmp_path: Path, pool: str) -> None:
    path = tmp_path / "deep" / "store"
    path.mkdir(parents=True)
    with pytest.raises(StoreError):
        create_group(path, spec=make_spec(pools=(pool,)), shapes={pool: (4,)}, block_rows=4, made_by={})
    with pytest.raises(StoreError):
        open_store(path)
    for write in (complete_group, lambda path: resize_arrays(path, 4), repair):
        with pytest.raises(StoreError):
            write(path)  # type: ignore[operator]
    assert {file.relative_to(path).as_posix() for file in tmp_path.rglob("*") if file.is_file()} == {"zarr.json"}


def commit_nothing(path: Path) -> None:
    opened = open_store(path)
    BlockWriter(opened).commit(empty_features(opened, 0), BlockRecord(block=0, done=[]))


WRITERS = {
    "complete_group": complete_group,
    "resize_arrays": lambda path: resize_arrays(path, 20),
    "append_rows": lambda path: append_rows(path, index(12, ["new"])),
    "commit": commit_nothing,
}


@pytest.mark.parametrize(
    ("link", "writers"),
    [
        ("mean", ["complete_group", "resize_arrays", "commit"]),
        ("mean/c", ["commit"]),
        ("mean/c/0", ["commit"]),
        ("ledger", ["complete_group", "commit"]),
        ("rows", ["complete_group", "append_rows"]),
    ],
)
def test_nothing_is_written_through_a_link(store: Store, tmp_path: Path, link: str, writers: list[str]) -> None:
    fill(store, 0, done=[0, 1])
    outside = tmp_path / "outside"
    (store.path / link).rename(outside)
    (store.path / link).symlink_to(outside)
    before = tree(outside)
    for writer in writers:
        with pytest.raises(StoreError, match="is a link, and fouls writes through no link inside a store"):
            WRITERS[writer](store.path)
        assert tree(outside) == before


def test_the_store_itself_may_be_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(store.path)
    linked = open_store(tmp_path / "elsewhere")
    fill(linked, 0, done=[0, 1, 2, 3])
    assert store.rows()["status"].to_pylist().count("done") == 4


def test_repair_writes_through_no_link(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (store.path / "mean").rename(outside)
    (store.path / "mean").symlink_to(outside)
    flip(outside / "zarr.json", 30)
    before = tree(outside)
    with pytest.raises(StoreError, match="is a link"):
        repair(store.path)
    assert tree(outside) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"block_rows": 10**30},
        {"block_rows": -4},
        {"block_rows": True},
        {"pools": {"mean": [-1], "temporal": [2, 6]}},
        {"pools": {"mean": "x", "temporal": [2, 6]}},
        {"pools": ["mean", "temporal"]},
        {"made_by": "me"},
        {"grids": {"mean": [1]}},
        {"spec": {"backbone": 3}},
        {"spec": None},
        {"format_version": "1"},
    ],
    ids=lambda changes: json.dumps(changes)[:30],
)  # fmt: skip
def test_attributes_that_no_fouls_has_written_are_one_line(store: Store, changes: dict[str, Any]) -> None:
    """Even where whoever altered them knew how to seal them."""
    edit(store.path / "zarr.json", lambda group: group.update(attributes=seal({**group["attributes"], **changes})))
    if changes == {"block_rows": 10**30}:  # a number; that no array has such blocks is found by reading one
        with pytest.raises(StoreError):
            open_store(store.path)["mean"]
        return
    with pytest.raises(StoreError) as refused:
        open_store(store.path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{}, {"backbone": "x"}, {"sampling": 3}, {"sampling": {"evil": 1}}, None])
def test_options_that_no_fouls_has_written_are_one_line(tmp_path: Path, options: Any) -> None:
    whole = {"backbone": "x", "pools": [], "sampling": {"window": None}, "manifest": "m"}
    plain = options if options in ({}, None) else whole | options
    if options == {"backbone": "x"}:
        plain = options
    with pytest.raises(StoreError, match="does not say how it was extracted"):
        ExtractOptions.from_dict(plain, store=tmp_path, retry_failed=False)


def test_options_of_a_store_say_nothing_of_where_work_is_sent(tmp_path: Path) -> None:
    """A scheduler that a stranger names would be sent pickles, and would send some back."""
    plain = {"backbone": "x", "pools": [], "sampling": {"window": None}, "manifest": "m"}
    evil = {"executor": {"scheduler": "tcp://evil:8786"}, "out": "/", "decoder": "x", "retry_failed": True}
    options = ExtractOptions.from_dict(plain | evil, store=tmp_path, retry_failed=False)
    assert (options.executor.scheduler, options.store, options.decoder) == (None, tmp_path, "auto")
