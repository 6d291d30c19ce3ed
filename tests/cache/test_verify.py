from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fouls.cache.blocks import load_done
from fouls.cache.layout import resize_arrays
from fouls.cache.ledger import BlockRecord, RowFailure, commit, read_record
from fouls.cache.lock import exclusive
from fouls.cache.rows import append_rows
from fouls.cache.store import Store
from fouls.cache.summary import summarise
from fouls.cache.verify import verify
from fouls.errors import StoreError

from .conftest import fill, index


def index_file(store: Store, number: int = 0) -> Path:
    return sorted((store.path / "rows").glob("*.parquet"))[number]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def found(store: Store) -> list[tuple[str, str, str, bool]]:
    return [(f.kind, f.where, f.remedy, f.damage) for f in verify(store.path).findings]


def test_a_whole_store_is_whole(filled: Store) -> None:
    seen: list[int] = []
    report = verify(filled, seen.append)
    assert report.findings == ()
    assert report.whole
    assert (report.blocks, seen) == (3, [1, 1, 1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda chunk: flip(chunk, 5), "CRC-32C does not match"),
        (lambda chunk: chunk.write_bytes(chunk.read_bytes()[:10]), "cut short"),
        (lambda chunk: chunk.write_bytes(b""), "cut short"),
        (lambda chunk: chunk.unlink(), "missing"),
        (lambda chunk: chunk.write_bytes((chunk.parents[1] / "0" / "0").read_bytes()), "SHA-256"),
    ],
    ids=["flip", "truncate", "empty", "remove", "another block's"],
)
def test_a_damaged_chunk_is_found_and_named(filled: Store, damage: Callable[[Path], object], message: str) -> None:
    damage(filled.path / "mean" / "c" / "1" / "0")
    (finding,) = verify(filled).findings
    assert (finding.kind, finding.where, finding.block, finding.remedy) == ("chunk", "mean/c/1/0", 1, "repair")
    assert message in finding.message
    assert verify(filled).damaged == (1,)
    record = read_record(filled.path, 1)
    assert record is not None
    assert load_done(filled, record) is None


def test_nan_in_a_done_row_is_named_as_such(filled: Store) -> None:
    zarr.open_group(filled.path, mode="r+")["temporal"][8] = np.nan  # type: ignore[index]
    (finding,) = verify(filled).findings
    assert (finding.where, finding.message) == ("temporal/c/2/0/0", "1 done rows hold NaN or infinity")


def test_a_failed_row_may_hold_anything(filled: Store) -> None:
    """A crash between the arrays and the ledger of a retry leaves a row that the record still calls failed."""
    zarr.open_group(filled.path, mode="r+")["mean"][6] = 2.0  # type: ignore[index]
    report = verify(filled)
    assert report.whole
    assert [(f.kind, f.where, f.damage) for f in report.findings] == [("unfinished", "mean/c", False)]
    assert "1 rows hold values" in report.findings[0].message


def test_what_a_stopped_run_leaves_is_told_and_is_no_damage(store: Store) -> None:
    """Chunks without a record, a half-written file, a planning that did not come to grow the arrays."""
    fill(store, 0, done=[0, 1, 2, 3])
    fill(store, 1, done=[4, 5, 6, 7])
    (store.path / "ledger" / "00000001.json").unlink()
    (store.path / "ledger" / "00000002.json.ab12.partial").write_text("{")
    append_rows(store.path, index(12, ["later"]))
    assert found(store) == [
        ("unfinished", "mean/zarr.json", "extract", False),
        ("unfinished", "temporal/zarr.json", "extract", False),
        ("unfinished", "mean/c", "extract", False),
        ("unfinished", "temporal/c", "extract", False),
        ("unfinished", "ledger/00000002.json.ab12.partial", "extract", False),
    ]
    assert verify(store).whole


def test_a_planning_while_it_is_verified(filled: Store) -> None:
    """Blocks that the index did not have when it was read are no damage."""
    planned: list[int] = []

    def plan_and_fill(_: int) -> None:
        if not planned:
            planned.append(12)
            append_rows(filled.path, index(12, ["new"]))
            resize_arrays(filled.path, 13)
            fill(filled, 3, done=[12])

    report = verify(filled, plan_and_fill)
    assert (report.blocks, report.findings) == (4, ())


def test_attributes_that_were_altered(filled: Store) -> None:
    edit(filled.path / "zarr.json", lambda group: group["attributes"]["made_by"].update(weights="elsewhere"))
    assert found(filled) == [("attributes", "zarr.json", "repair", True)]
    (filled.path / "zarr.json").unlink()
    assert found(filled) == [("attributes", "zarr.json", "repair", True)]
    flip(filled.path / "rows" / "zarr.json", 40)
    with pytest.raises(StoreError, match="no store at"):
        verify(filled.path)


def test_both_copies_of_the_attributes_altered(filled: Store) -> None:
    for file in (filled.path / "zarr.json", filled.path / "rows" / "zarr.json"):
        edit(file, lambda group: group["attributes"]["spec"].update(backbone="another"))
    assert found(filled) == [("attributes", "zarr.json", "restore", True)]


def test_the_copy_of_the_attributes_altered(filled: Store) -> None:
    edit(filled.path / "rows" / "zarr.json", lambda group: group["attributes"].update(block_rows=8))
    assert found(filled) == [("attributes", "rows/zarr.json", "repair", True)]


@pytest.mark.parametrize(
    "change",
    [
        {"fill_value": 0.0},
        {"data_type": "float32"},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 6]}}},
        {"shape": [10, 7]},
        {"shape": "ten"},
        {"dimension_names": ["row", "fature"]},
        {"something": "else"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_array_that_is_not_as_the_attributes_say(filled: Store, change: dict[str, Any]) -> None:
    edit(filled.path / "mean" / "zarr.json", lambda array: array.update(change))
    assert found(filled) == [("member", "mean/zarr.json", "repair", True)]


def test_an_array_may_carry_attributes_of_its_own(filled: Store) -> None:
    zarr.open_group(filled.path, mode="r+")["mean"].attrs["unit"] = "1"
    assert found(filled) == []


def test_a_member_that_is_gone(filled: Store) -> None:
    (filled.path / "ledger" / "zarr.json").unlink()
    assert found(filled) == [("member", "ledger/zarr.json", "repair", True)]


@pytest.mark.parametrize(("rows", "remedy"), [(16, "repair"), (8, "repair")])
def test_an_array_of_another_length_than_the_index(filled: Store, rows: int, remedy: str) -> None:
    edit(filled.path / "mean" / "zarr.json", lambda array: array["shape"].__setitem__(0, rows))
    assert ("length", "mean/zarr.json", remedy, True) in found(filled)


def test_a_damaged_file_of_the_index(filled: Store) -> None:
    name = f"rows/{index_file(filled).name}"
    flip(index_file(filled), 100)
    assert found(filled) == [("index", name, "repair", True)]
    with pytest.raises(StoreError, match=r"its checksum is not the one in its name.*--repair"):
        filled.rows()
    flip(filled.path / f"{name}.copy", 100)
    assert found(filled) == [("index", name, "restore", True)]


def test_a_lost_copy_of_the_index_is_no_damage_and_a_damaged_one_is(filled: Store) -> None:
    copy = index_file(filled).with_name(f"{index_file(filled).name}.copy")
    data = copy.read_bytes()
    copy.unlink()
    assert found(filled) == [("index", f"rows/{copy.name}", "repair", False)]
    copy.write_bytes(data[:-1])
    assert found(filled) == [("index", f"rows/{copy.name}", "repair", True)]


def test_a_lost_file_of_the_index(filled: Store) -> None:
    append_rows(filled.path, index(12, ["later"]))
    first, second = index_file(filled), index_file(filled, 1)
    first.unlink()
    assert found(filled) == [("index", f"rows/{first.name}", "repair", True)]
    with pytest.raises(StoreError, match=r"is lost: `fouls verify .* --repair` restores it from its copy"):
        filled.rows()
    first.with_name(f"{first.name}.copy").unlink()
    with pytest.raises(StoreError, match="should be the file number 00000000 of the row index: one is lost"):
        filled.rows()
    assert found(filled) == [("index", f"rows/{second.name}", "restore", True)]


def test_an_index_that_has_lost_its_last_file_and_its_copy(make_store: Callable[..., Store]) -> None:
    store = make_store(num_videos=4)
    path = append_rows(store.path, index(4, ["later"]))
    resize_arrays(store.path, 5)
    fill(store, 1, done=[4])
    for file in (path, path.with_name(f"{path.name}.copy")):
        file.unlink()
    assert set(found(store)) == {
        ("record", "ledger/00000001.json", "restore", True),
        ("length", "mean/zarr.json", "restore", True),
        ("length", "temporal/zarr.json", "restore", True),
        ("chunk", "mean/c/1/0", "restore", True),
        ("chunk", "temporal/c/1/0/0", "restore", True),
    }


@pytest.mark.parametrize(
    ("first_rows", "message"),
    [
        ([8], "rows don't ascend from 0: 8"),
        ([9], "row 9 is there twice"),
        ([13], "row 13 comes after a gap and does not begin a block"),
    ],
)
def test_an_index_that_contradicts_itself(filled: Store, first_rows: list[int], message: str) -> None:
    for first_row in first_rows:
        append_rows(filled.path, index(first_row, ["later"]))
    (finding,) = [f for f in verify(filled).findings if f.kind == "rows"]
    assert (finding.remedy, finding.message) == ("restore", message)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (BlockRecord(block=1, done=[[3, 5]]), "rows of other blocks"),
        (BlockRecord(block=1, done=[[4, 5]], checksums={"mean": "sha256:00"}), "checksums of mean"),
        (
            BlockRecord(
                block=1, done=[[4, 5]], failures=(RowFailure(row=4, video_id="v", code="timeout", message="m"),)
            ),
            "row 4 is done and has failed",
        ),
        (BlockRecord(block=2, done=[[10, 11]], checksums={"mean": "", "temporal": ""}), "row 10 is not in the index"),
    ],
)
def test_a_record_that_contradicts_the_index(store: Store, record: BlockRecord, message: str) -> None:
    commit(store.path, record)
    (finding,) = [f for f in verify(store).findings if f.kind == "record"]
    assert (finding.block, finding.remedy) == (record.block, "repair")
    assert message in finding.message


def test_a_damaged_record_and_one_in_another_place(filled: Store) -> None:
    ledger = filled.path / "ledger"
    text = (ledger / "00000000.json").read_bytes()
    for position in range(len(text)):
        for bit in range(8):
            data = bytearray(text)
            data[position] ^= 1 << bit
            with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
                BlockRecord.from_json(bytes(data))
    (ledger / "00000001.json").write_bytes(text)
    (finding,) = [f for f in verify(filled).findings if f.damage]
    assert (finding.where, finding.message) == ("ledger/00000001.json", "it is that of block 0")


def test_strange_files_and_links_are_told(filled: Store) -> None:
    (filled.path / "notes.txt").write_text("mine")
    (filled.path / "tmp").symlink_to(filled.path.parent)
    assert found(filled) == [("file", "notes.txt", "look", False), ("file", "tmp", "look", False)]


def test_a_store_of_before_the_checksums_is_whole(filled: Store) -> None:
    """Without the attributes' checksum, the digest in the names of the index, and the records' own checksum."""
    edit(filled.path / "zarr.json", lambda group: group["attributes"].pop("checksum"))
    edit(filled.path / "rows" / "zarr.json", lambda group: group.update(attributes={}))
    file = index_file(filled)
    file.with_name(f"{file.name}.copy").unlink()
    file.rename(file.with_name("00000000.parquet"))
    for record in (filled.path / "ledger").glob("0*.json"):
        edit(record, lambda plain: plain.pop("checksum"))
    assert found(filled) == []
    assert filled.rows()["status"].to_pylist().count("done") == 9


def test_summary_counts_and_times(store: Store) -> None:
    fill(store, 0, done=[0, 1, 3], failed=[2])
    summary = summarise(store)
    assert (summary.rows, summary.done, summary.failed, summary.todo, summary.retired) == (10, 3, 1, 6, 0)
    assert summary.videos == 10
    assert summary.decoders == {"decord": 3}
    assert summary.bottleneck == "backbone"
    assert summary.seconds["forward"] == 1.0
    assert summary.bytes == sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert summary.quarantined == 0


def test_the_lock_excludes_a_second_planner_and_leaves_nothing(store: Store) -> None:
    before = sorted(store.path.rglob("*"))
    refused = pytest.raises(StoreError, match="another `fouls extract` is filling")
    with exclusive(store.path), refused, exclusive(store.path):
        pass
    with exclusive(store.path):
        assert sorted(store.path.rglob("*")) == before
