"""The failed rows as a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fouls.cache.quarantine import is_quarantined
from fouls.cache.rows import read_rows
from fouls.cache.store import Store
from fouls.files import write_atomically

FAILURE_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("view", pa.int16(), nullable=False),
        pa.field("clip", pa.int32(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("decoder", pa.string()),
        pa.field("last_good_frame", pa.int64()),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field("quarantined", pa.bool_(), nullable=False),
    ]
)


def failures(store: Store) -> pa.Table:
    """The failed rows that are not retired, in the order of the rows.

    Returns:
        A table of :data:`FAILURE_SCHEMA`; ``quarantined`` says that a retry leaves the row alone.
    """
    table, retired = read_rows(store.path)
    live = table.filter(pa.array(~retired)).select(["row", "sample_id", "view", "clip"])
    failed = {failure.row: failure for record in store.ledger() for failure in record.failures}
    known = live.filter(pa.array([row in failed for row in live["row"].to_pylist()], pa.bool_()))
    records = [
        {
            **row,
            **{name: getattr(failed[row["row"]], name) for name in _OF_THE_LEDGER},
            "quarantined": is_quarantined(failed[row["row"]]),
        }
        for row in known.to_pylist()
    ]
    return pa.Table.from_pylist(records, schema=FAILURE_SCHEMA)


_OF_THE_LEDGER = ("video_id", "code", "message", "decoder", "last_good_frame", "attempts")


def write_failures(path: Path, table: pa.Table) -> None:
    """Write the table as Parquet, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())
