"""The ledger: a record a block of what is done, what failed and why.

A row counts as done only when the ledger says so, and the ledger says so only after the arrays are written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fouls.errors import StoreError
from fouls.files import write_atomically

LEDGER_FOLDER = "ledger"

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

    def to_json(self) -> bytes:
        """The record as indented JSON."""
        return (json.dumps(dataclasses.asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: not such a record.
        """
        plain: dict[str, Any] = json.loads(data)
        plain["failures"] = tuple(RowFailure(**failure) for failure in plain["failures"])
        return cls(**plain)


def commit(store: Path, record: BlockRecord) -> None:
    """Mark a block. Its arrays must be on the disk."""
    write_atomically(_record_path(store, record.block), record.to_json())


def read_record(store: Path, block: int) -> BlockRecord | None:
    """The record of one block, or ``None`` where no work on it has ended yet.

    Raises:
        StoreError: the record is damaged.
    """
    path = _record_path(store, block)
    return _read(path) if path.exists() else None


def read_ledger(store: Path) -> list[BlockRecord]:
    """All records, in the order of the blocks.

    Raises:
        StoreError: a record is damaged.
    """
    return [_read(path) for path in sorted((store / LEDGER_FOLDER).glob("*.json")) if path.name != "zarr.json"]


def _record_path(store: Path, block: int) -> Path:
    return store / LEDGER_FOLDER / f"{block:08d}.json"


def _read(path: Path) -> BlockRecord:
    try:
        return BlockRecord.from_json(path.read_bytes())
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a ledger record ({error}): remove it, its block is then done anew") from error
