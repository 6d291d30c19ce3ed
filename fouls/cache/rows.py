"""The row index: which clip of which video every row of the arrays is.

It only grows, one Parquet file a planning, written before any work on its rows starts. The rows of one planning
start at a block of their own, so that no later planning changes what a block holds: row numbers may skip.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fouls.cache.index_files import read_index_files, write_index_file
from fouls.errors import DamagedStoreError, StoreError, first_line
from fouls.objects.location import Location

ROW_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("view", pa.int16(), nullable=False),
        pa.field("clip", pa.int32(), nullable=False),
        pa.field("crop", pa.int16(), nullable=False),
        pa.field("augment", pa.int16(), nullable=False),
        pa.field("start_frame", pa.int64()),
        pa.field("stop_frame", pa.int64()),
        pa.field("frame_indices", pa.list_(pa.int32())),
        pa.field("start_seconds", pa.float64()),
        pa.field("stop_seconds", pa.float64()),
        pa.field("content_hash", pa.string()),
        pa.field("segment_start", pa.int64()),
        pa.field("segment_stop", pa.int64()),
        pa.field("plan_error", pa.string()),
    ]
)
"""One row a clip. ``start_frame`` … ``stop_seconds`` are the clip's own span, [start, stop), in the video's native
frames; ``segment_start``, ``segment_stop`` the manifest's segment it was planned from (null: the whole video).
``augment`` is 0 in the plain pass, 1 … K in the augmented ones; ``crop`` is 0 in these.
``plan_error`` says why a video could not be planned, as ``class: message``: it has one row, which can only fail."""

GROUP_ROWS = 2**17
"""Rows of a Parquet row group: what is encoded at once."""
_TELL_RETIRED = ("video_id", "augment")


def append_rows(store: Location, rows: pa.Table) -> Location:
    """Add one planning's rows; on the disk when this returns."""
    sink = io.BytesIO()  # its bytes are not copied: there may be a hundred megabytes
    pq.write_table(rows.cast(ROW_SCHEMA), sink, compression="zstd", row_group_size=GROUP_ROWS)
    return write_index_file(store, sink.getvalue())


def read_rows(store: Location, columns: Sequence[str] | None = None) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Read the row index.

    Args:
        store: the store's folder.
        columns: those that are wanted; ``None``: all.

    Returns:
        The rows in ascending order of ``row``, and a mask of those that are retired: a later planning has the plain
        pass of the same video again, since its content or segment has changed. More augmented passes retire nothing.

    Raises:
        DamagedStoreError: a file of the index is not what was written.
        StoreError: it has other columns.
    """
    names = ROW_SCHEMA.names if columns is None else columns
    schema = pa.schema([field for field in ROW_SCHEMA if field.name in {*names, *_TELL_RETIRED}])
    parts = [_read_part(path, data, schema) for path, data in read_index_files(store)]
    if not parts:
        return schema.empty_table().select(names), np.zeros(0, dtype=bool)
    return pa.concat_tables(parts).select(names).combine_chunks(), _retired(parts)


def _read_part(path: Location, data: bytes, schema: pa.Schema) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.schema_arrow.names != ROW_SCHEMA.names:
            raise StoreError(f"{path} has the columns {file.schema_arrow.names}; expected {ROW_SCHEMA.names}")
        return file.read(schema.names).cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise DamagedStoreError(
            f"{path} is damaged ({first_line(error)}): restore it, or extract into another --out"
        ) from error


def _retired(parts: list[pa.Table]) -> npt.NDArray[np.bool_]:
    part_of_row = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
    if len(parts) == 1:
        return np.zeros(len(part_of_row), dtype=bool)
    video_ids = pa.chunked_array([chunk for part in parts for chunk in part["video_id"].chunks])
    codes = video_ids.combine_chunks().dictionary_encode().indices.to_numpy()
    plain = np.concatenate([part["augment"].to_numpy() for part in parts]) == 0
    newest = np.zeros(codes.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(newest, codes[plain], part_of_row[plain])
    retired: npt.NDArray[np.bool_] = part_of_row < newest[codes]
    return retired
