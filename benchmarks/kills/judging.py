"""Is a store that was filled between kills that of an undisturbed run?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fouls.cache.store import Store
from fouls.cache.verify import verify

VOLATILE = {"seconds", "started_at", "finished_at", "attempts", "checksum"}
"""Of a ledger's record: when, how long, how often."""
ASKED_FOR = {"made_by", "checksum"}
"""Of a group's attributes: the options as they were typed."""


def contents(store: Store) -> dict[str, bytes]:
    """Every file of a store, without times and options."""
    root = Path(str(store.path))
    found = {}
    for file in sorted(root.rglob("*")):
        if file.is_file():
            name = file.relative_to(root).as_posix()
            data = file.read_bytes()
            if name.startswith("ledger/0"):
                data = _without(json.loads(data), VOLATILE)
            elif name in ("zarr.json", "rows/zarr.json"):
                group = json.loads(data)
                data = _without(group["attributes"], ASKED_FOR)
            found[name] = data
    return found


def compare(store: Store, undisturbed: Store) -> dict[str, int]:
    """Rows lost (to do, or failed where they should be done) and wrong, files that differ, what ``verify`` finds."""
    rows, expected = store.rows(), undisturbed.rows()
    same_index = rows.drop_columns("status") == expected.drop_columns("status")
    if not same_index:
        return {"rows lost": expected.num_rows, "rows wrong": 0, "files that differ": 1, "findings of verify": 0}
    statuses = zip(rows["status"].to_pylist(), expected["status"].to_pylist(), strict=True)
    lost = sum(status != should_be for status, should_be in statuses)
    differing = np.zeros(store[next(iter(store.pools))].shape[0], dtype=bool)
    for pool in store.pools:
        one, other = (np.asarray(each[pool][:]) for each in (store, undisturbed))
        differing |= (_bits(one) != _bits(other)).any(axis=1)
    mine, theirs = contents(store), contents(undisturbed)
    names = mine.keys() | theirs.keys()
    return {
        "rows lost": lost,
        "rows wrong": int(differing.sum()),
        "files that differ": sum(mine.get(name) != theirs.get(name) for name in names),
        "findings of verify": len(verify(store).findings),
    }


def _bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _without(members: dict[str, Any], names: set[str]) -> bytes:
    return json.dumps({key: value for key, value in members.items() if key not in names}, sort_keys=True).encode()
