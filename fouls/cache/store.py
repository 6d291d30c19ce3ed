"""A store, read: one spec's features, the row index, and what the ledger says of every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from fouls.cache.layout import FORMAT_VERSION
from fouls.cache.ledger import BlockRecord, read_ledger
from fouls.cache.rows import read_rows
from fouls.cache.spec import Spec
from fouls.errors import ConfigError, StoreError

STATUSES = ("todo", "done", "failed", "retired")
TO_DO, DONE, FAILED, RETIRED = range(4)


@dataclass(frozen=True)
class Store:
    """One spec's features, read-only.

    Attributes:
        path: the folder.
        spec: everything that decided the values.
        fingerprint: SHA-256 of the spec.
        pools: pool → shape of one row's feature, such as ``(768,)`` or ``(8, 768)``.
        block_rows: rows a block, which is one chunk of every array along the first axis.
        made_by: fouls' and the libraries' versions, and where the weights came from.
    """

    path: Path
    spec: Spec
    fingerprint: str
    pools: dict[str, tuple[int, ...]]
    block_rows: int
    made_by: dict[str, Any]

    def __getitem__(self, pool: str) -> zarr.Array[Any]:
        """The Zarr array of a pool, (rows, …); a row that is not done holds NaN.

        Raises:
            StoreError: the store has no such pool.
        """
        if pool not in self.pools:
            raise StoreError(f"{self.path} has no pool {pool!r}; it has {', '.join(self.pools)}")
        array = self._group[pool]
        assert isinstance(array, zarr.Array)
        return array

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr.open_group(self.path, mode="r")

    def rows(self) -> pa.Table:
        """The row index with a ``status`` column (done, failed, todo, retired), as it is now on the disk.

        A retired row is one whose video was planned anew since its content has changed.
        """
        table, retired = read_rows(self.path)
        status = row_status(table, retired, self.ledger())
        names = pa.DictionaryArray.from_arrays(pa.array(status, pa.int8()), pa.array(STATUSES))
        return table.append_column("status", names.cast(pa.string()))

    def ledger(self) -> list[BlockRecord]:
        """The records of all blocks on which work has ended, as they are now on the disk."""
        return read_ledger(self.path)


def row_status(rows: pa.Table, retired: npt.NDArray[np.bool_], ledger: list[BlockRecord]) -> npt.NDArray[np.int8]:
    """What the ledger says of every row of the index: an index into :data:`STATUSES`, (rows,)."""
    numbers = rows["row"].to_numpy()
    by_number = np.full(int(numbers[-1]) + 1 if len(numbers) else 0, TO_DO, dtype=np.int8)
    for record in ledger:
        for failure in record.failures:
            by_number[failure.row] = FAILED
        for start, stop in record.done:
            by_number[start:stop] = DONE
    status: npt.NDArray[np.int8] = by_number[numbers]
    status[retired] = RETIRED
    return status


def open_store(path: str | Path) -> Store:
    """Open a store, read-only.

    Args:
        path: the store's folder, such as ``cache/videomae``.

    Raises:
        StoreError: no store there, a damaged one, or one of a newer format.
    """
    path = Path(path)
    if not (path / "zarr.json").exists():
        raise StoreError(f"no store at {path}: `fouls extract --backbone NAME --out {path}` makes one")
    try:
        attributes: dict[str, Any] = zarr.open_group(path, mode="r", zarr_format=3).attrs.asdict()
        version = attributes["format_version"]
        if version > FORMAT_VERSION:
            raise StoreError(f"{path} has format version {version}; this fouls reads up to {FORMAT_VERSION}: update it")
        spec = Spec.from_dict(attributes["spec"])
        store = Store(
            path=path,
            spec=spec,
            fingerprint=attributes["fingerprint"],
            pools={pool: tuple(shape) for pool, shape in attributes["pools"].items()},
            block_rows=attributes["block_rows"],
            made_by=attributes["made_by"],
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise StoreError(f"{path} is not a store that fouls can read ({error}): use another --out") from error
    if spec.fingerprint != store.fingerprint:
        raise StoreError(f"the spec in {path}/zarr.json was altered: its fingerprint is not the one that stands there")
    return store
