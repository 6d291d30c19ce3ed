"""Makes the golden store of format version 1 beside this file, with made-up values.

    python -m tests.cache.golden.make

It is made once, when the format is made. A store that this makes later may differ in bytes (another version of Arrow
writes other Parquet); what must not change is that the one that is committed opens and reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord, RowFailure, to_ranges
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import Store, open_store

PATH = Path(__file__).parent / "version_1"
SHAPES = {"mean": (3,), "temporal": (2, 3)}
BLOCK_ROWS = 2

SPEC = Spec(
    backbone="videomae_base",
    weights=WeightsSpec(sha256="5e" * 32),
    sampling=SamplingSpec(kind="dense", num_frames=4, frame_stride=2, hop=8),
    preprocessing=PreprocessingSpec(
        resize_to=256, crop=224, antialias=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    pools=("mean", "temporal"),
)


def value(row: int, pool: str) -> float:
    """The first number of a row; the others count on from it by 1/4."""
    return row + (0.5 if pool == "temporal" else 0.0)


def planning(first_row: int, videos: list[tuple[str, int, str]], error: str | None = None) -> pa.Table:
    """Rows of some videos: id, number of clips, content hash; with ``error`` the last one could not be planned."""
    records = []
    for video_id, num_clips, content_hash in videos:
        hopeless = error is not None and video_id == videos[-1][0]
        for clip in range(num_clips):
            start = 8 * clip
            records.append(
                {
                    "row": first_row + len(records),
                    "video_id": video_id,
                    "sample_id": video_id.partition("/")[0],
                    "view": 0,
                    "clip": clip,
                    "crop": 0,
                    "augment": 0,
                    "start_frame": None if hopeless else start,
                    "stop_frame": None if hopeless else start + 7,
                    "frame_indices": None if hopeless else [start, start + 2, start + 4, start + 6],
                    "start_seconds": None if hopeless else start / 25,
                    "stop_seconds": None if hopeless else (start + 7) / 25,
                    "content_hash": content_hash,
                    "segment_start": None,
                    "segment_stop": None,
                    "plan_error": error if hopeless else None,
                }
            )
    return pa.Table.from_pylist(records, schema=ROW_SCHEMA)


def fill(store: Store, block: int, done: list[int], failures: tuple[RowFailure, ...] = ()) -> None:
    """Write a block with made-up values."""
    features = empty_features(store, block)
    for pool, values in features.items():
        for row in done:
            size = values[0].size
            values[row - block * BLOCK_ROWS] = (value(row, pool) + np.arange(size) / 4).reshape(SHAPES[pool])
    record = BlockRecord(
        block=block,
        done=to_ranges(done),
        failures=failures,
        decoders={"decord": to_ranges(done)} if done else {},
        seconds={"read": 0.5, "preprocess": 0.25, "wait": 0.125, "forward": 1.5},
        batch_size=2,
        device="cpu",
        started_at="2026-01-01T00:00:00.000+00:00",
    )
    BlockWriter(store).commit(features, record)


def make(path: Path) -> None:
    """Two plannings, the second of ``a/0`` anew; one video can't be planned, one row fails, two are to do."""
    create_group(path, spec=SPEC, shapes=SHAPES, block_rows=BLOCK_ROWS, made_by={"versions": {"fouls": "0.1.0"}})
    first = planning(0, [("a/0", 2, "aa" * 32), ("b/0", 2, "bb" * 32), ("ü/0", 1, "cc" * 32)], "unreadable: no video")
    append_rows(path, first)
    resize_arrays(path, 5)
    append_rows(path, planning(6, [("a/0", 3, "dd" * 32), ("d/0", 1, "ee" * 32)]))
    resize_arrays(path, 10)
    store = open_store(path)
    fill(store, 0, [0, 1])
    broken = RowFailure(
        row=3, video_id="b/0", code="decode_error", message="cut off", decoder="pyav", last_good_frame=11, attempts=2
    )
    fill(store, 1, [2], (broken,))
    fill(store, 2, [], (RowFailure(row=4, video_id="ü/0", code="unreadable", message="no video"),))
    fill(store, 3, [6, 7])


if __name__ == "__main__":
    make(PATH)
