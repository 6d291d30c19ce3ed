"""Ledger and arrays, block by block: what a record tells against what the index and the chunks hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.blocks import checksum, chunk_path, finite_rows, read_chunk
from fouls.cache.ledger import (
    LEDGER_FOLDER,
    RECORD_NAME,
    BlockRecord,
    from_ranges,
    read_record_file,
    record_files,
)
from fouls.cache.store import Store
from fouls.cache.verification.findings import Finding
from fouls.errors import DamagedStoreError
from fouls.files import names_in
from fouls.objects.location import Location, below

THREADS = 8
"""Chunks that are read at a time: what takes time is waiting for the disk or the network."""


@dataclass(frozen=True)
class Planned:
    """The index, as far as blocks are concerned."""

    rows: npt.NDArray[np.int64]
    """Row numbers, ascending."""
    hopeless: frozenset[int]
    """Rows that could not be planned."""
    block_rows: int

    @classmethod
    def of(cls, table: pa.Table, block_rows: int) -> Planned:
        """From the row index."""
        hopeless = table["row"].filter(pc.is_valid(table["plan_error"])).to_pylist()
        return cls(rows=table["row"].to_numpy(), hopeless=frozenset(hopeless), block_rows=block_rows)

    @property
    def num_rows(self) -> int:
        """Rows that the arrays need."""
        return int(self.rows[-1]) + 1 if len(self.rows) else 0

    @property
    def num_blocks(self) -> int:
        """Blocks, the empty ones among them."""
        return -(-self.num_rows // self.block_rows)

    def in_block(self, block: int) -> set[int]:
        """The rows of a block."""
        first, last = np.searchsorted(self.rows, (block * self.block_rows, (block + 1) * self.block_rows))
        return set(self.rows[first:last].tolist())


def check_records(store: Store, planned: Planned | None) -> tuple[list[BlockRecord], list[Finding]]:
    """Read the ledger, and hold it against the index where there is one.

    Returns:
        The records that can be believed, and what is wrong with the others.
    """
    records, findings = [], []
    for path in record_files(store.path):
        where = f"{LEDGER_FOLDER}/{path.name}"
        if not RECORD_NAME.fullmatch(path.name):
            continue  # a file that does not belong there, which is said elsewhere
        try:
            record = read_record_file(path)
        except DamagedStoreError as error:
            message = str(error.__cause__)
            findings.append(Finding(kind="record", where=where, message=message, remedy="repair", block=int(path.stem)))
            continue
        if planned is not None and record.block >= planned.num_blocks:
            message = f"there is no block {record.block}: the index has {planned.num_blocks}, or has lost a file"
            findings.append(Finding(kind="record", where=where, message=message, remedy="restore"))
            continue
        wrong = next(_contradictions(store, record, planned), None)
        if wrong is None:
            records.append(record)
        else:
            findings.append(Finding(kind="record", where=where, message=wrong, remedy="repair", block=record.block))
    return records, findings


def _contradictions(store: Store, record: BlockRecord, planned: Planned | None) -> Iterator[str]:
    start = record.block * store.block_rows
    if not record.within(range(start, start + store.block_rows)):
        yield "it speaks of rows of other blocks"
        return
    done = set(from_ranges(record.done))
    failed = {failure.row for failure in record.failures}
    if done & failed:
        yield f"row {min(done & failed)} is done and has failed"
    if done and set(record.checksums) != set(store.pools):
        yield f"it has checksums of {', '.join(sorted(record.checksums)) or 'no pool'}"
    if planned is not None:
        strangers = (done | failed) - planned.in_block(record.block)
        if strangers:
            yield f"row {min(strangers)} is not in the index"
        if done & planned.hopeless:
            yield f"row {min(done & planned.hopeless)} is done, and could not be planned"


def check_chunks(
    store: Store, records: Sequence[BlockRecord], blocks: Iterable[int], on_block: Callable[[int], None]
) -> Iterator[Finding]:
    """Read chunks back, each once, and compare them with what the ledger tells of their block.

    Args:
        store: where from.
        records: those that can be believed; a block without one has no done rows.
        blocks: which.
        on_block: called with 1 after each block.
    """
    by_block = {record.block: record for record in records}
    arrays = {pool: store[pool] for pool in store.pools}

    def check(block: int) -> tuple[list[Finding], dict[str, int]]:
        record = by_block.get(block, BlockRecord(block=block, done=[]))
        findings, unrecorded = [], {}
        for pool, array in arrays.items():
            values = read_chunk(array, block)
            finding = compare_chunk(store, record, pool, values)
            if finding is not None:
                findings.append(finding)
            elif values is not None:
                unrecorded[pool] = int(finite_rows(values).sum()) - len(list(from_ranges(record.done)))
        return findings, unrecorded

    total = dict.fromkeys(store.pools, 0)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as threads:
        for findings, unrecorded in threads.map(check, blocks):
            yield from findings
            total.update({pool: total[pool] + rows for pool, rows in unrecorded.items()})
            on_block(1)
    yield from (_unrecorded(pool, rows) for pool, rows in total.items() if rows)


def compare_chunk(store: Store, record: BlockRecord, pool: str, values: npt.NDArray[Any] | None) -> Finding | None:
    """What is wrong with a block's values of one pool: ``None`` when they are those that the record tells of."""
    chunk = chunk_path(store, pool, record.block)
    done = np.fromiter(from_ranges(record.done), dtype=np.int64) - record.block * store.block_rows
    if values is None:
        wrong = "cut short, or its CRC-32C does not match"
    elif not len(done):
        return None
    elif not chunk.exists():
        wrong = "missing"
    elif len(values) <= done[-1]:
        wrong = "the array ends before it"
    elif not (finite := finite_rows(values[done])).all():
        wrong = f"{int((~finite).sum())} done rows hold NaN or infinity"
    elif checksum(values[done]) != record.checksums[pool]:
        wrong = "not the values of which the ledger has the SHA-256"
    else:
        return None
    return Finding(
        kind="chunk",
        where=below(store.path, chunk),
        message=wrong if len(done) else f"{wrong}; none of its rows is done",
        remedy="repair",
        damage=bool(len(done)),
        block=record.block,
    )


def _unrecorded(pool: str, rows: int) -> Finding:
    """What a run had written when it was stopped before it could say so."""
    message = f"{rows} rows hold values, and the ledger does not call them done"
    return Finding(kind="unfinished", where=f"{pool}/c", message=message, remedy="extract", damage=False)


def stored_blocks(store: Store) -> set[int]:
    """The blocks of which any pool has a chunk."""
    blocks = set()
    for pool in store.pools:
        folder = store.path / pool / "c"
        numbers = (int(name) for name in names_in(folder) if name.isdecimal() and name.isascii())
        there: set[Location] = set(folder.rglob("*"))
        blocks |= {block for block in numbers if chunk_path(store, pool, block) in there}
    return blocks
