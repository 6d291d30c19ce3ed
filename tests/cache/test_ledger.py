from __future__ import annotations

import pytest

from fouls.cache.ledger import BlockRecord, RowFailure, commit, from_ranges, read_record, to_ranges
from fouls.cache.store import Store
from fouls.errors import StoreError


@pytest.mark.parametrize("rows", [[], [5], [0, 1, 2], [1, 3, 4, 9], [0, 2, 4]])
def test_ranges_round_trip(rows: list[int]) -> None:
    assert list(from_ranges(to_ranges(rows))) == rows


def test_a_record_round_trips(store: Store) -> None:
    record = BlockRecord(
        block=3,
        done=[[12, 14]],
        failures=(RowFailure(row=14, video_id="a/b", code="timeout", message="120 s", decoder="decord", attempts=2),),
        attempts=2,
        decoders={"pyav": [[12, 14]]},
        seconds={"read": 0.25},
        checksums={"mean": "sha256:00"},
        batch_size=4,
        device="cpu",
    )
    commit(store.path, record)
    assert read_record(store.path, 3) == record
    assert read_record(store.path, 4) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"block": 0}', b'{"block": 0, "done": [], "failures": [{}]}'])
def test_a_damaged_record_is_named(store: Store, damage: bytes) -> None:
    (store.path / "ledger" / "00000000.json").write_bytes(damage)
    with pytest.raises(StoreError, match=r"00000000.json is not a ledger record .*remove it"):
        store.ledger()
