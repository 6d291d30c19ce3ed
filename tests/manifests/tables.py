"""Small valid manifests, as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from fouls.manifests.keypoints import Keypoints, keypoints_array
from fouls.manifests.schema import BASE_FIELDS, FRAME_LABEL_TYPE, LABEL_TYPE, MULTI_LABEL_TYPE, manifest_schema

CLASSES = ("run", "jump", "sit")


def make_table(
    video_ids: Sequence[str] = ("a", "b", "c"),
    *,
    root: str | None = "/data",
    task: str = "action",
    classes: Sequence[str] = CLASSES,
    labels: Sequence[int | None] | None = None,
    **columns: Sequence[object],
) -> pa.Table:
    """One row a video, 10 frames each, labels 0, 1, 2, 0, …; any column can be given."""
    count = len(video_ids)
    values: dict[str, Sequence[object]] = dict.fromkeys((field.name for field in BASE_FIELDS), [None] * count)
    values |= {
        "video_id": video_ids,
        "sample_id": video_ids,
        "view": [0] * count,
        "path": [f"{video_id}.mp4" for video_id in video_ids],
        "split": ["train"] * count,
        "num_frames": [10] * count,
        "width": [64] * count,
        "height": [48] * count,
        "fps": [25.0] * count,
        "duration_seconds": [0.4] * count,
        "codec": ["h264"] * count,
        "size_bytes": [1000] * count,
        "modified_ns": [1_700_000_000_000_000_000] * count,
        "content_hash": ["0" * 64] * count,
        f"label.{task}": [index % len(classes) for index in range(count)] if labels is None else labels,
    } | columns
    return pa.Table.from_pydict(values, schema=manifest_schema({task: classes}, root=root))


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    """The table with one column replaced or added; ``values`` is an Arrow array, or a list of the column's type."""
    index = table.schema.get_field_index(name)
    if not isinstance(values, pa.Array):
        guesses = {"label": LABEL_TYPE, "multi_label": MULTI_LABEL_TYPE, "frame_label": FRAME_LABEL_TYPE}
        kind = name.partition(".")[0]
        values = pa.array(values, table.schema.field(name).type if index >= 0 else guesses[kind])
    return table.set_column(index, name, values) if index >= 0 else table.append_column(name, values)


def with_metadata(table: pa.Table, **metadata: str | None) -> pa.Table:
    """The table with ``fouls.<name>`` replaced in its metadata; ``None`` removes it."""
    changed = dict(table.schema.metadata)
    for name, value in metadata.items():
        changed.pop(f"fouls.{name}".encode(), None)
        if value is not None:
            changed[f"fouls.{name}".encode()] = value.encode()
    return table.replace_schema_metadata(changed)


def with_keypoints(table: pa.Table, names: Sequence[str], videos: Sequence[Keypoints | None]) -> pa.Table:
    """The table with keypoints, (F, K, 3) a video."""
    return with_metadata(
        with_column(table, "frame_keypoints", keypoints_array(videos, len(names))), keypoints=json.dumps(list(names))
    )
