from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.ledger import BlockRecord, RowFailure, read_record, to_ranges
from fouls.cache.lock import exclusive
from fouls.cache.repair import repair
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.cache.verify import verify
from fouls.errors import StoreError

from .conftest import fill, index, tree
from .test_verify import edit, flip, index_file


def statuses(store: Store) -> list[str]:
    found: list[str] = open_store(store.path).rows()["status"].to_pylist()
    return found


DONE = ["done"] * 6 + ["failed"] + ["done"] * 3


def test_a_whole_store_stays_as_it_is(filled: Store) -> None:
    before = tree(filled.path)
    assert repair(filled.path).mended == ()
    assert tree(filled.path) == before


def test_a_broken_chunk_puts_its_block_back_and_nothing_else(filled: Store) -> None:
    before = tree(filled.path)
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    repaired = repair(filled.path)
    assert repaired.report.whole
    assert repaired.mended == ("mean/c/1/0: set aside; 3 rows of block 1 are to do again",)
    assert statuses(filled) == ["done"] * 4 + ["todo", "todo", "failed", "todo"] + ["done"] * 2
    record = read_record(filled.path, 1)
    assert record is not None
    assert (record.done, [failure.attempts for failure in record.failures]) == ([], [1])
    assert np.isnan(filled["mean"][4:8]).all()
    after = tree(filled.path)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"mean/c/1/0", "ledger/00000001.json"}
    fill(filled, 1, done=[4, 5, 7], failed=[6])
    assert statuses(filled) == DONE
    assert verify(filled).whole


@pytest.mark.parametrize("name", ["ledger/00000001.json", "ledger/00000002.json"])
def test_a_broken_record_is_written_again_from_values_that_are_whole(filled: Store, name: str) -> None:
    """A row is done when every pool has it, in chunks whose own checksums are right."""
    flip(filled.path / name, 30)
    with pytest.raises(StoreError, match=r"fouls verify .* --repair"):
        filled.rows()
    repaired = repair(filled.path)
    assert repaired.report.whole
    assert statuses(filled) == [status if status == "done" else "todo" for status in DONE] or name.endswith("2.json")
    assert statuses(filled).count("done") == 9
    assert (filled.path / f"{name}.1.broken").exists()


def test_a_row_that_one_pool_lacks_is_not_taken_for_done(filled: Store) -> None:
    """As when a run is stopped after it has written one pool of a block, and then the record breaks."""
    features = empty_features(filled, 1)
    features["mean"][:] = 1
    features["temporal"][:2] = 1
    commit = BlockRecord(block=1, done=to_ranges([4, 5]))
    BlockWriter(filled).commit(features, commit)
    flip(filled.path / "ledger" / "00000001.json", 30)
    repair(filled.path)
    assert statuses(filled)[4:8] == ["done", "done", "todo", "todo"]


def test_a_broken_record_of_a_broken_chunk(filled: Store) -> None:
    flip(filled.path / "ledger" / "00000001.json", 30)
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    repaired = repair(filled.path)
    assert repaired.report.whole
    assert statuses(filled) == ["done"] * 4 + ["todo"] * 4 + ["done"] * 2


@pytest.mark.parametrize("name", ["zarr.json", "rows/zarr.json"])
def test_attributes_are_restored_byte_for_byte(filled: Store, name: str) -> None:
    before = tree(filled.path)
    edit(filled.path / name, lambda group: group["attributes"].update(block_rows=8))
    assert repair(filled.path).report.whole
    assert tree(filled.path) == before


@pytest.mark.parametrize("suffix", ["", ".copy"])
@pytest.mark.parametrize("lost", [False, True], ids=["damaged", "lost"])
def test_the_index_is_restored_byte_for_byte(filled: Store, suffix: str, lost: bool) -> None:
    append_rows(filled.path, index(12, ["later"]))
    before = {name: data for name, data in tree(filled.path).items() if name.startswith("rows/")}
    file = index_file(filled)
    file = file.with_name(file.name + suffix)
    if lost:
        file.unlink()
    else:
        flip(file, 50)
    assert repair(filled.path).report.whole
    assert {name: data for name, data in tree(filled.path).items() if name.startswith("rows/")} == before


@pytest.mark.parametrize("name", ["mean", "temporal", "rows", "ledger"])
@pytest.mark.parametrize("damage", ["lost", "cut", "fill_value"])
def test_members_are_written_again(filled: Store, name: str, damage: str) -> None:
    file = filled.path / name / "zarr.json"
    values = {pool: filled[pool][:] for pool in filled.pools}
    if damage == "lost":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        edit(file, lambda member: member.update(fill_value=1.0))
    repaired = repair(filled.path)
    assert repaired.report.findings == ()
    assert statuses(filled) == DONE
    reopened = open_store(filled.path)
    for pool, expected in values.items():
        np.testing.assert_array_equal(reopened[pool][:], expected)


@pytest.mark.parametrize("rows", [0, 5, 8, 12, 90])
def test_an_array_gets_the_length_of_the_index(filled: Store, rows: int) -> None:
    values = filled["mean"][:]
    edit(filled.path / "mean" / "zarr.json", lambda array: array["shape"].__setitem__(0, rows))
    assert repair(filled.path).report.findings == ()
    np.testing.assert_array_equal(open_store(filled.path)["mean"][:], values)
    assert statuses(filled) == DONE


def test_what_only_a_backup_mends_is_left_alone_and_said(filled: Store) -> None:
    name = index_file(filled).name
    for file in (name, f"{name}.copy"):
        flip(filled.path / "rows" / file, 60)
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    before = tree(filled.path)
    repaired = repair(filled.path)
    assert tree(filled.path) == before
    (finding,) = [finding for finding in repaired.report.findings if finding.remedy == "restore"]
    assert finding.message == "damaged, and so is its copy: nobody knows whose features its rows are"


def test_everything_at_once(filled: Store) -> None:
    edit(filled.path / "zarr.json", lambda group: group["attributes"].update(block_rows=8))
    flip(index_file(filled), 60)
    (filled.path / "temporal" / "zarr.json").unlink()
    flip(filled.path / "ledger" / "00000000.json", 20)
    (filled.path / "mean" / "c" / "2" / "0").unlink()
    assert repair(filled.path).report.whole
    assert statuses(filled) == [*DONE[:8], "todo", "todo"]


def test_a_store_that_is_being_filled_is_left_alone(filled: Store) -> None:
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    before = tree(filled.path)
    with exclusive(filled.path), pytest.raises(StoreError, match="another `fouls extract` is filling"):
        repair(filled.path)
    assert tree(filled.path) == before


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        repair(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_attempts_outlive_a_repair(make_store: Callable[..., Store]) -> None:
    store = make_store()
    failure = RowFailure(row=2, video_id="v2", code="decoder_crashed", message="SIGSEGV", attempts=2)
    features = empty_features(store, 0)
    for values in features.values():
        values[:2] = 1
    BlockWriter(store).commit(features, BlockRecord(block=0, done=[[0, 2]], failures=(failure,)))
    flip(store.path / "mean" / "c" / "0" / "0", 3)
    repair(store.path)
    record = json.loads((store.path / "ledger" / "00000000.json").read_text())
    assert [(kept["row"], kept["attempts"]) for kept in record["failures"]] == [(2, 2)]
