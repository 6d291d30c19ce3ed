from __future__ import annotations

import pytest

from fouls.cache.blocks import load_done
from fouls.cache.ledger import read_record
from fouls.cache.lock import exclusive
from fouls.cache.store import Store
from fouls.cache.summary import failures, summarise
from fouls.cache.verify import verify
from fouls.errors import StoreError

from .conftest import fill


def test_a_whole_store_is_whole(store: Store) -> None:
    fill(store, 0, done=[0, 1, 3], failed=[2])
    fill(store, 2, done=[8, 9])
    seen: list[int] = []
    report = verify(store, seen.append)
    assert report.whole
    assert (report.blocks, seen) == (2, [1, 1])


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_chunk_is_found_and_named(store: Store, damage: str) -> None:
    fill(store, 0, done=[0, 1, 2, 3])
    fill(store, 1, done=[4, 5, 6, 7])
    chunk = store.path / "mean" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    if damage == "flip":
        data[5] ^= 1
        chunk.write_bytes(data)
    elif damage == "truncate":
        chunk.write_bytes(data[:10])
    else:
        chunk.unlink()
    assert verify(store).damaged == (1,)
    record = read_record(store.path, 1)
    assert record is not None
    assert load_done(store, record) is None


def test_a_failed_row_may_hold_anything(store: Store) -> None:
    """A crash between the arrays and the ledger of a retry leaves a row that the record still calls failed."""
    import zarr

    fill(store, 0, done=[0, 1, 3], failed=[2])
    group = zarr.open_group(store.path, mode="r+")
    group["mean"][2] = 2.0  # type: ignore[index]
    assert verify(store).whole


def test_summary_counts_and_times(store: Store) -> None:
    fill(store, 0, done=[0, 1, 3], failed=[2])
    summary = summarise(store)
    assert (summary.rows, summary.done, summary.failed, summary.todo, summary.retired) == (10, 3, 1, 6, 0)
    assert summary.videos == 10
    assert summary.decoders == {"decord": 3}
    assert summary.bottleneck == "backbone"
    assert summary.seconds["forward"] == 1.0
    assert summary.bytes == sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert [(failure["row"], failure["code"]) for failure in failures(store)] == [(2, "decode_error")]


def test_the_lock_excludes_a_second_planner_and_leaves_nothing(store: Store) -> None:
    before = sorted(store.path.rglob("*"))
    refused = pytest.raises(StoreError, match="another `fouls extract` is filling")
    with exclusive(store.path), refused, exclusive(store.path):
        pass
    with exclusive(store.path):
        assert sorted(store.path.rglob("*")) == before
