"""The format: a store of version 1 that is committed, and a reader that knows the document alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fouls.cache.failures import failures
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.cache.verification.findings import Kind, Remedy
from fouls.cache.verify import verify
from fouls.commands.migrate import migrate
from fouls.errors import StoreError

from .conftest import fill, index
from .golden.make import PATH, SPEC, value
from .independent_reader import ForeignStore
from .test_verify import edit

DOCUMENT = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
STATUSES = ["retired", "retired", "done", "failed", "failed", "done", "done", "todo", "todo"]


def test_the_golden_store_opens_and_is_whole() -> None:
    report = verify(PATH)
    assert report.findings == ()
    assert report.blocks == 4
    store = open_store(PATH)
    assert store.spec == SPEC
    assert store.fingerprint == "bdef4b82ae86f47327d03823b72a2b757a7712e7adb45a3546c0bed0e62abbc7"
    assert store.pools == {"mean": (3,), "temporal": (2, 3)}
    assert (store.block_rows, store.made_by) == (2, {"versions": {"fouls": "0.1.0"}})


def test_the_golden_store_reads_to_pinned_values() -> None:
    store = open_store(PATH)
    rows = store.rows()
    assert rows["row"].to_pylist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert rows["video_id"].to_pylist() == ["a/0", "a/0", "b/0", "b/0", "ü/0", "a/0", "a/0", "a/0", "d/0"]
    assert rows["status"].to_pylist() == STATUSES
    assert rows["frame_indices"].to_pylist()[3] == [8, 10, 12, 14]
    assert rows["plan_error"].to_pylist()[4] == "unreadable: no video"
    np.testing.assert_array_equal(store["mean"][7], np.array([7, 7.25, 7.5], dtype=np.float16))
    np.testing.assert_array_equal(store["temporal"][2], [[2.5, 2.75, 3.0], [3.25, 3.5, 3.75]])
    assert np.isnan(store["mean"][[3, 4, 5, 8, 9]]).all()
    assert [(row["row"], row["code"], row["last_good_frame"]) for row in failures(store).to_pylist()] == [
        (3, "decode_error", 11),
        (4, "unreadable", None),
    ]


def same_for_both_readers(path: Path) -> None:
    store, foreign = open_store(path), ForeignStore(path)
    rows = store.rows()
    assert [row["row"] for row in foreign.rows] == rows["row"].to_pylist()
    assert foreign.rows == rows.drop_columns("status").to_pylist()
    assert foreign.statuses() == rows["status"].to_pylist()
    done = {row for record in store.ledger() for start, stop in record.done for row in range(start, stop)}
    for pool in store.pools:
        values = foreign.values(pool)
        assert values.keys() == done
        for row, feature in values.items():
            np.testing.assert_array_equal(feature, store[pool][row])
    live = {row["row"]: row["code"] for row in failures(store).to_pylist()}
    assert {row: code for row, code in foreign.failures().items() if row in live} == live


def test_a_reader_that_knows_the_document_alone_reads_the_golden_store() -> None:
    same_for_both_readers(PATH)
    foreign = ForeignStore(PATH)
    assert foreign.statuses() == STATUSES
    assert {row: feature.flat[0] for row, feature in foreign.values("temporal").items()} == {
        row: value(row, "temporal") for row in (0, 1, 2, 6, 7)
    }


def test_a_reader_that_knows_the_document_alone_reads_what_is_written_now(store: Store) -> None:
    fill(store, 0, done=[0, 1, 3], failed=[2])
    fill(store, 2, done=[8, 9])
    append_rows(store.path, index(12, ["v1", "new"], content_hash="h2"))
    same_for_both_readers(store.path)


def test_the_document_names_every_member(store: Store) -> None:
    fill(store, 0, done=[0], failed=[1])
    foreign = ForeignStore(store.path)
    members = {*foreign.attributes, *foreign.rows[0], *foreign.records[0], *foreign.records[0]["failures"][0]}
    assert {name for name in members if f"`{name}`" not in DOCUMENT} == set()


def test_the_document_names_every_kind_of_finding_and_every_remedy() -> None:
    for name in (*get_args(Kind), *get_args(Remedy)):
        assert f"| `{name}` |" in DOCUMENT


def run(path: Path, *arguments: str) -> str:
    app = typer.Typer()
    app.command()(migrate)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(path), *arguments], catch_exceptions=False).stdout


def test_migrate_has_nothing_to_do() -> None:
    assert run(PATH) == f"{PATH} is version 1, the current one: nothing to do\n"
    assert '"format_version": 1, "changed": false' in run(PATH, "--json")


@pytest.mark.parametrize("use", [open_store, verify, run], ids=["open", "verify", "migrate"])
def test_a_newer_format_is_refused(tmp_path: Path, use: Callable[[Path], object]) -> None:
    from fouls.cache.attributes import seal

    path = shutil.copytree(PATH, tmp_path / "newer")
    edit(path / "zarr.json", lambda group: group.update(attributes=seal({**group["attributes"], "format_version": 2})))
    with pytest.raises(StoreError, match=r"has format version 2; this fouls reads up to 1: update it$"):
        use(path)
