"""The ledger: a record a block of what is done, what failed and why.

A row counts as done only when the ledger says so, and the ledger says so only after the arrays are written. The last
member of a record is a checksum of all bytes before it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from fouls.cache.disk import writing
from fouls.cache.lease import check_lease
from fouls.cache.links import refuse_links
from fouls.errors import DamagedStoreError
from fouls.files import names_in, write_atomically
from fouls.objects.location import Location

LEDGER_FOLDER = "ledger"
RECORD_NAME = re.compile(r"\d{8}\.json")

_CHECKSUM = b',\n "checksum": '
_READERS, _FILES_A_TASK = 16, 256

Ranges = list[list[int]]
"""Row numbers as [start, stop) pairs, ascending."""


def to_ranges(rows: Iterable[int]) -> Ranges:
    """Ascending row numbers as [start, stop) pairs.

    >>> to_ranges([3, 4, 5, 9])
    [[3, 6], [9, 10]]
    """
    ranges: Ranges = []
    for row in rows:
        if ranges and ranges[-1][1] == row:
            ranges[-1][1] = row + 1
        else:
            ranges.append([row, row + 1])
    return ranges


def from_ranges(ranges: Ranges) -> Iterator[int]:
    """The row numbers of [start, stop) pairs."""
    for start, stop in ranges:
        yield from range(start, stop)


@dataclass(frozen=True, kw_only=True)
class RowFailure:
    """Why one row has no features."""

    row: int
    video_id: str
    code: str
    """Class of the error, one of ``fouls.errors.VIDEO_ERROR_CODES``."""
    message: str
    decoder: str | None = None
    """The decoder that met the error."""
    last_good_frame: int | None = None
    attempts: int = 1
    """How often the row was tried."""
    processes_lost: int = 0
    """How often that cost a decoding process: it died, or had to be stopped."""

    def __post_init__(self) -> None:
        _check_row_number("row", self.row)
        for name in ("video_id", "code", "message"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} of a failure is {getattr(self, name)!r}; it must be text")


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """What is known of one block."""

    block: int
    done: Ranges
    failures: tuple[RowFailure, ...] = ()
    attempts: int = 1
    """How often work on the block ended in a record."""
    decoders: Mapping[str, Ranges] = field(default_factory=dict)
    """Decoder → the done rows that it decoded."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds in ``read``, ``preprocess`` (both summed over processes), ``wait`` (for frames), ``forward``, ``write``;
    of the last attempt."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Pool → ``sha256:…`` of the bytes of the done rows, in order, as stored (little-endian)."""
    batch_size: int | None = None
    device: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    """Times of the last attempt's start and commit, ISO 8601, UTC."""

    def __post_init__(self) -> None:
        _check_row_number("block", self.block)
        for name, ranges in {"done": self.done, **self.decoders}.items():
            _check_ranges(name, ranges)

    def within(self, rows: range) -> bool:
        """Whether it speaks of these rows alone: those of its block."""
        spans = [*self.done, *(span for ranges in self.decoders.values() for span in ranges)]
        return all(rows.start <= start < stop <= rows.stop for start, stop in spans) and all(
            failure.row in rows for failure in self.failures
        )

    def to_json(self) -> bytes:
        """The record as indented JSON, with its checksum."""
        members = json.dumps(dataclasses.asdict(self), indent=1).removesuffix("\n}").encode()
        return members + _tail(members)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The inverse of :meth:`to_json`. Members that later versions have added are left out.

        Raises:
            ValueError, KeyError, TypeError: not such a record, or not as it was written.
        """
        plain: dict[str, Any] = json.loads(data)
        if "checksum" in plain:
            members = data.rpartition(_CHECKSUM)[0]
            if data != members + _tail(members):
                raise ValueError("its checksum is not the one that stands there")
            plain = _known(cls, plain)
            plain["failures"] = [_known(RowFailure, failure) for failure in plain["failures"]]
        plain["failures"] = tuple(RowFailure(**failure) for failure in plain["failures"])
        return cls(**plain)


def _check_row_number(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from 0 on")


def _check_ranges(name: str, ranges: Any) -> None:
    last = 0
    for start, stop in ranges:
        _check_row_number(name, start)
        _check_row_number(name, stop)
        if not last <= start < stop:
            raise ValueError(f"{name} has [{start}, {stop}), which is empty or not after the one before")
        last = stop


def _tail(members: bytes) -> bytes:
    """What ends a record: the checksum of all that stands before."""
    return _CHECKSUM + f'"sha256:{hashlib.sha256(members).hexdigest()}"\n}}\n'.encode()


def _known(kind: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    names = _field_names(kind)
    return {name: value for name, value in plain.items() if name in names}


@cache
def _field_names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind))


def commit(store: Location, record: BlockRecord) -> None:
    """Mark a block. Its arrays must be on the disk.

    Raises:
        StoreError: the ledger lies behind a link, or the disk takes no more.
    """
    refuse_links(store, store / LEDGER_FOLDER)
    check_lease(store)
    with writing(store):
        write_atomically(record_path(store, record.block), record.to_json())


def read_record(store: Location, block: int) -> BlockRecord | None:
    """The record of one block, or ``None`` where no work on it has ended yet.

    Raises:
        DamagedStoreError: it is damaged.
    """
    path = record_path(store, block)
    return read_record_file(path) if path.exists() else None


def read_ledger(store: Location) -> list[BlockRecord]:
    """All records, in the order of the blocks.

    Raises:
        DamagedStoreError: a record is damaged.
    """
    paths = record_files(store)
    at_once = _FILES_A_TASK if isinstance(store, Path) else 1
    some = [paths[first : first + at_once] for first in range(0, len(paths), at_once)]
    with ThreadPoolExecutor(_READERS) as readers:  # a drive on the network takes long for one file, not for many
        contents = [data for part in readers.map(_read_all, some) for data in part]
    return [_parse(path, data) for path, data in zip(paths, contents, strict=True)]


def _read_all(paths: Sequence[Location]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def record_files(store: Location) -> list[Location]:
    """The files of the ledger, in the order of the blocks."""
    folder = store / LEDGER_FOLDER
    names = names_in(folder)
    return [folder / name for name in sorted(names) if name.endswith(".json") and name != "zarr.json"]


def record_path(store: Location, block: int) -> Location:
    """Where the record of a block lies."""
    return store / LEDGER_FOLDER / f"{block:08d}.json"


def read_record_file(path: Location) -> BlockRecord:
    """One file of the ledger.

    Raises:
        DamagedStoreError: not what was written, or the record of another block.
    """
    return _parse(path, path.read_bytes())


def _parse(path: Location, data: bytes) -> BlockRecord:
    try:
        record = BlockRecord.from_json(data)
        if path.name != f"{record.block:08d}.json":
            raise ValueError(f"it is that of block {record.block}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        store = path.parent.parent
        raise DamagedStoreError(
            f"{path} is not a ledger record ({error}): `fouls verify {store} --repair` mends it, or remove it: its "
            "block is then done anew"
        ) from error
    return record
