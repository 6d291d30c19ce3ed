"""A store, read: one spec's features, the row index, and what the ledger says of every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from fouls.cache.attributes import parse_attributes
from fouls.cache.ledger import BlockRecord, read_ledger
from fouls.cache.rows import read_rows
from fouls.cache.spec import Spec
from fouls.cache.zarr_store import zarr_store
from fouls.errors import DamagedStoreError, StoreError, first_line
from fouls.objects.location import Location, location

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
        grids: pool of tokens → (T', H, W), where the backbone tells; time varies slowest.
        made_by: fouls' and the libraries' versions, and where the weights came from.
    """

    path: Location
    spec: Spec
    fingerprint: str
    pools: dict[str, tuple[int, ...]]
    block_rows: int
    made_by: dict[str, Any]
    grids: dict[str, tuple[int, int, int]]

    def __getitem__(self, pool: str) -> zarr.Array[Any]:
        """The Zarr array of a pool, (rows, …); a row that is not done holds NaN.

        Raises:
            StoreError: the store has no such pool.
            DamagedStoreError: its ``zarr.json`` is not what was written.
        """
        if pool not in self.pools:
            raise StoreError(f"{self.path} has no pool {pool!r}; it has {', '.join(self.pools)}")
        try:
            array = self._group[pool]
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedStoreError(self._broken(pool, first_line(error))) from error
        expected = (self.block_rows, *self.pools[pool])
        if not (
            isinstance(array, zarr.Array)
            and array.shape[1:] == self.pools[pool]
            and array.chunks == expected
            and array.dtype == np.dtype(self.spec.stored_dtype)
        ):
            raise DamagedStoreError(self._broken(pool, f"no array of {self.spec.stored_dtype} in chunks {expected}"))
        return array

    def _broken(self, pool: str, reason: str) -> str:
        where = self.path / pool / "zarr.json"
        return f"{where} is not what was written there ({reason}): `fouls verify {self.path} --repair` mends it"

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr.open_group(zarr_store(self.path), mode="r", zarr_format=3)

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
        for failure in record.failures:  # slices: what was planned since the index was read is left out
            by_number[failure.row : failure.row + 1] = FAILED
        for start, stop in record.done:
            by_number[start:stop] = DONE
    status: npt.NDArray[np.int8] = by_number[numbers]
    status[retired] = RETIRED
    return status


def open_store(path: str | Location) -> Store:
    """Open a store, read-only.

    Args:
        path: the store's folder, such as ``cache/videomae``, or its URL, such as ``s3://bucket/cache/videomae``.

    Raises:
        StorageError: the object storage can't be reached, has no such bucket, or refuses.
        StoreError: no store there, or one of a newer format.
        DamagedStoreError: its attributes are not what was written.
    """
    path = location(path)
    if not (path / "zarr.json").exists():
        path.is_dir()  # says so, where there is not even a bucket
        raise StoreError(f"no store at {path}: `fouls extract --backbone NAME --out {path}` makes one")
    try:
        found = zarr.open_group(zarr_store(path), mode="r", zarr_format=3).attrs.asdict()
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStoreError(
            f"{path} is not a store that fouls can read ({first_line(error)}): use another --out, or, if it was one, "
            f"`fouls verify {path} --repair`"
        ) from error
    attributes = parse_attributes(found, path)
    return Store(
        path=path,
        spec=attributes.spec,
        fingerprint=attributes.fingerprint,
        pools=attributes.pools,
        block_rows=attributes.block_rows,
        made_by=attributes.made_by,
        grids=attributes.grids,
    )
