from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tensorstore
import zarr

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import choose_block_rows, complete_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.rows import append_rows
from fouls.cache.store import Store, open_store
from fouls.errors import StoreError

from .conftest import SHAPES, fill, index, make_spec, tree


def test_rows_start_as_todo_and_hold_nan(store: Store) -> None:
    assert store.rows()["status"].to_pylist() == ["todo"] * 10
    assert store["mean"].shape == (10, 6)
    assert store["temporal"].shape == (10, 2, 6)
    assert store["mean"].dtype == np.float16
    assert np.isnan(store["mean"][:]).all()


def test_status_is_what_the_ledger_says(store: Store) -> None:
    fill(store, 1, done=[4, 5, 7], failed=[6])
    assert store.rows()["status"].to_pylist() == ["todo"] * 4 + ["done", "done", "failed", "done"] + ["todo"] * 2
    values = store["temporal"][:]
    assert (values[7] == 7).all()
    assert np.isnan(values[6]).all()


def test_a_written_array_without_a_record_is_not_done(store: Store) -> None:
    group = zarr.open_group(store.path, mode="r+")
    group["mean"][0:4] = np.ones((4, 6))  # type: ignore[index]
    assert store.rows()["status"].to_pylist() == ["todo"] * 10


def test_other_readers_open_it(store: Store) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    expected = np.repeat(np.arange(4.0), 6).reshape(4, 6)
    plain = zarr.open_group(store.path)["mean"]
    assert isinstance(plain, zarr.Array)
    np.testing.assert_array_equal(plain[:4], expected)
    np.testing.assert_array_equal(dask.array.from_zarr(str(store.path), component="mean")[:4].compute(), expected)
    opened = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store.path / "mean")}}
    ).result()
    np.testing.assert_array_equal(opened[:4].read().result(), expected)


def test_members_are_the_pools_and_two_groups(store: Store) -> None:
    fill(store, 0, done=[0])
    members = dict(zarr.open_group(store.path, mode="r").members())
    assert sorted(members) == ["ledger", "mean", "rows", "temporal"]


def test_attributes_have_spec_fingerprint_and_version(store: Store) -> None:
    attributes = zarr.open_group(store.path, mode="r").attrs.asdict()
    assert attributes["spec"] == make_spec().to_dict()
    assert attributes["fingerprint"] == make_spec().fingerprint
    assert attributes["format_version"] == 1


def test_a_later_planning_retires_the_rows_of_a_changed_video(store: Store) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    append_rows(store.path, index(12, ["v1", "new"], content_hash="h2"))
    resize_arrays(store.path, 14)
    rows = store.rows()
    assert rows["row"].to_pylist() == [*range(10), 12, 13]
    status = dict(zip(rows["row"].to_pylist(), rows["status"].to_pylist(), strict=True))
    assert [status[row] for row in (0, 1, 2, 12, 13)] == ["done", "retired", "done", "todo", "todo"]
    assert store["mean"].shape == (14, 6)


def test_what_a_crash_left_out_is_made_good(store: Store) -> None:
    whole = tree(store.path)
    for name in ("mean/zarr.json", "ledger/zarr.json"):
        (store.path / name).unlink()
        complete_group(store.path)
        resize_arrays(store.path, 10)
        assert tree(store.path) == whole


def test_a_feature_that_is_not_finite_is_refused_and_nothing_is_marked(store: Store) -> None:
    features = empty_features(store, 0)
    features["mean"][0] = np.inf
    with pytest.raises(StoreError, match=r"row 0 of pool 'mean' is not finite as float16.*--dtype float32"):
        BlockWriter(store).commit(features, BlockRecord(block=0, done=[[0, 1]]))
    assert store.ledger() == []


def test_a_block_of_nothing_but_failures_is_recorded(store: Store) -> None:
    fill(store, 2, done=[], failed=[8, 9])
    assert store.rows()["status"].to_pylist() == ["todo"] * 8 + ["failed"] * 2
    assert np.isnan(store["mean"][:]).all()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*: `fouls extract"):
        open_store(tmp_path / "nothing")


def test_another_zarr_group_is_not_a_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other", zarr_format=3)
    with pytest.raises(StoreError, match="not a store that fouls can read"):
        open_store(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99; this fouls reads up to 1"),
        ({"fingerprint": "00"}, "was altered"),
    ],
)
def test_attributes_that_are_refused(store: Store, change: dict[str, object], message: str) -> None:
    path = store.path / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["attributes"].update(change)
    path.write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=message):
        open_store(store.path)


def test_an_unknown_pool_names_those_there_are(store: Store) -> None:
    with pytest.raises(StoreError, match="no pool 'cls'; it has mean, temporal"):
        store["cls"]


@pytest.mark.parametrize(
    ("num_rows", "shapes", "expected"),
    [
        (9, SHAPES, 4),
        (144, SHAPES, 8),
        (1_000_000, SHAPES, 64),
        (1_000_000, {"tokens": (1568, 768)}, 16),
        (0, SHAPES, 4),
    ],
)
def test_block_rows_depend_on_the_plan_alone(num_rows: int, shapes: dict[str, tuple[int, ...]], expected: int) -> None:
    rows = choose_block_rows(num_rows, shapes, "float16")
    assert rows == expected
    assert rows & (rows - 1) == 0


def test_equal_work_gives_equal_bytes(make_store: Callable[..., Store]) -> None:
    store = make_store()
    fill(store, 0, done=[0, 1, 2, 3])
    first = {name: data for name, data in tree(store.path).items() if not name.startswith("ledger/0")}
    fill(store, 0, done=[0, 1, 2, 3])
    assert {name: data for name, data in tree(store.path).items() if not name.startswith("ledger/0")} == first
