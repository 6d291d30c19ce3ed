"""``parquet``: one table with a row a clip; the feature is a list of float32."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fouls.cache.export.about import About
from fouls.cache.export.videos import PLACES, TIMES, VideoFeatures
from fouls.cache.rows import ROW_SCHEMA

FILE = "features.parquet"
GROUP_BYTES = 32 * 2**20
"""Bytes of features in a row group."""


def write(folder: Path, videos: Iterable[VideoFeatures], about: About) -> dict[str, str]:
    """Write :data:`FILE`. A feature of several axes is flattened; its shape stands in the schema's metadata.

    Returns:
        Videos that are left out, and why: none.
    """
    schema = _schema(about)
    with pq.ParquetWriter(folder / FILE, schema, compression="zstd") as writer:
        waiting: list[VideoFeatures] = []
        for video in videos:
            waiting.append(video)
            if sum(other.values.nbytes for other in waiting) >= GROUP_BYTES:
                writer.write_table(_table(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(_table(waiting, schema))
    return {}


def _schema(about: About) -> pa.Schema:
    fields = [ROW_SCHEMA.field(name) for name in ("video_id", "sample_id", "view", *PLACES, *TIMES)]
    fields += [pa.field("split", pa.string()), pa.field("labels", pa.string())]
    feature = pa.list_(pa.float32(), int(np.prod(about.shape)))
    metadata = {
        b"fouls.pool": about.pool.encode(),
        b"fouls.shape": json.dumps(list(about.shape)).encode(),
        b"fouls.fingerprint": about.store.fingerprint.encode(),
    }
    return pa.schema([*fields, pa.field("feature", feature)], metadata=metadata)


def _table(videos: Sequence[VideoFeatures], schema: pa.Schema) -> pa.Table:
    rows = pa.concat_tables([video.rows for video in videos])
    values = np.concatenate(
        [video.values.reshape(len(video.values), schema.field("feature").type.list_size) for video in videos]
    )
    of_videos = {
        "video_id": [video.video_id for video in videos],
        "sample_id": [video.sample_id for video in videos],
        "view": [video.view for video in videos],
        "split": [video.facts.split for video in videos],
        "labels": [json.dumps(dict(video.facts.labels)) for video in videos],
    }
    counts = [video.rows.num_rows for video in videos]
    columns = {name: np.repeat(np.array(values, dtype=object), counts).tolist() for name, values in of_videos.items()}
    columns |= {name: rows[name] for name in (*PLACES, *TIMES)}
    flat = pa.array(values.astype(np.float32).reshape(-1))
    columns["feature"] = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("feature").type)
    return pa.table(columns, schema=schema)
