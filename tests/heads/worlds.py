"""Small stores and manifests whose features are given, written with the store's and the manifest's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord, RowFailure, to_ranges
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import Store, open_store
from fouls.manifests.keypoints import keypoints_array
from fouls.manifests.schema import BASE_FIELDS, KEYPOINTS_COLUMN, manifest_schema
from fouls.manifests.table import write_manifest

BLOCK_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One row of the store."""

    features: Mapping[str, npt.NDArray[Any]]
    frames: Sequence[int] = tuple(range(16))
    clip: int = 0
    crop: int = 0
    augment: int = 0
    status: str = "done"


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row of the manifest, with its rows in the store."""

    video_id: str
    clips: Sequence[Clip]
    sample_id: str | None = None
    view: int = 0
    split: str = "train"
    labels: Mapping[str, int | None] = field(default_factory=dict)
    multi_labels: Mapping[str, Sequence[int] | None] = field(default_factory=dict)
    frame_labels: Mapping[str, Sequence[int] | None] = field(default_factory=dict)
    keypoints: npt.NDArray[np.float32] | None = None
    """(frames, K, 3)"""
    num_frames: int = 16
    content_hash: str | None = "h"
    extracted_hash: str | None = "h"


def make_spec(pools: Sequence[str], *, sampling: SamplingSpec | None = None, seed: int = 0, **changes: Any) -> Spec:
    """A spec of made-up weights."""
    fields: dict[str, Any] = {
        "backbone": "videomae_base",
        "weights": WeightsSpec(sha256="ab" * 32, random_seed=seed),
        "sampling": sampling or SamplingSpec(num_frames=16),
        "preprocessing": PreprocessingSpec(
            resize_to=224, crop=224, antialias=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        "pools": tuple(sorted(pools)),
    }
    return Spec(**(fields | changes))


def make_store(
    path: Path, videos: Sequence[Video], *, grids: Mapping[str, tuple[int, int, int]] | None = None, **spec: Any
) -> Store:
    """Write the clips of all videos, in order."""
    rows = [(video, clip) for video in videos for clip in video.clips]
    shapes = {pool: np.shape(values) for pool, values in rows[0][1].features.items()}
    create_group(
        path,
        spec=make_spec(list(shapes), **spec),
        shapes=shapes,
        block_rows=BLOCK_ROWS,
        made_by={"weights": None},
        grids=grids,
    )
    append_rows(path, _index(rows))
    resize_arrays(path, len(rows))
    store = open_store(path)
    for block in range(-(-len(rows) // BLOCK_ROWS)):
        _commit(store, block, rows)
    return open_store(path)


def _index(rows: Sequence[tuple[Video, Clip]]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in ROW_SCHEMA.names}
    columns |= {
        "row": list(range(len(rows))),
        "video_id": [video.video_id for video, _ in rows],
        "sample_id": [video.sample_id or video.video_id for video, _ in rows],
        "view": [video.view for video, _ in rows],
        "clip": [clip.clip for _, clip in rows],
        "crop": [clip.crop for _, clip in rows],
        "augment": [clip.augment for _, clip in rows],
        "frame_indices": [list(clip.frames) for _, clip in rows],
        "start_frame": [clip.frames[0] for _, clip in rows],
        "stop_frame": [clip.frames[-1] + 1 for _, clip in rows],
        "content_hash": [video.extracted_hash for video, _ in rows],
    }
    return pa.table(columns, schema=ROW_SCHEMA)


def _commit(store: Store, block: int, rows: Sequence[tuple[Video, Clip]]) -> None:
    features = empty_features(store, block)
    first = block * BLOCK_ROWS
    done, failures = [], []
    for row in range(first, min(first + BLOCK_ROWS, len(rows))):
        video, clip = rows[row]
        if clip.status == "done":
            done.append(row)
            for pool, values in clip.features.items():
                features[pool][row - first] = values
        elif clip.status == "failed":
            failures.append(RowFailure(row=row, video_id=video.video_id, code="decode_error", message="broken"))
    if done or failures:
        BlockWriter(store).commit(features, BlockRecord(block=block, done=to_ranges(done), failures=tuple(failures)))


def make_manifest(
    videos: Sequence[Video],
    tasks: Mapping[str, Sequence[str]],
    *,
    frame_tasks: Sequence[str] = (),
    multi_label_tasks: Sequence[str] = (),
    keypoints: Sequence[str] = (),
) -> pa.Table:
    """The manifest of the videos; ``keypoints`` are their names."""
    count = len(videos)
    values: dict[str, Sequence[Any]] = dict.fromkeys((field.name for field in BASE_FIELDS), [None] * count)
    values |= {
        "video_id": [video.video_id for video in videos],
        "sample_id": [video.sample_id or video.video_id for video in videos],
        "view": [video.view for video in videos],
        "path": [f"{video.video_id}.mp4" for video in videos],
        "split": [video.split for video in videos],
        "num_frames": [video.num_frames for video in videos],
        "fps": [25.0] * count,
        "content_hash": [video.content_hash for video in videos],
    }
    for task in tasks:
        if task in frame_tasks:
            values[f"frame_label.{task}"] = [video.frame_labels.get(task) for video in videos]
        elif task in multi_label_tasks:
            values[f"multi_label.{task}"] = [video.multi_labels.get(task) for video in videos]
        else:
            values[f"label.{task}"] = [video.labels.get(task) for video in videos]
    if keypoints:
        values[KEYPOINTS_COLUMN] = keypoints_array([video.keypoints for video in videos], len(keypoints))
    schema = manifest_schema(
        tasks, root="/gone", frame_labels=frame_tasks, multi_labels=multi_label_tasks, keypoints=keypoints
    )
    return pa.Table.from_pydict(values, schema=schema)


def blobs(
    counts: Mapping[str, int],
    *,
    num_classes: int = 3,
    dim: int = 12,
    steps: int = 4,
    signal: float = 2.0,
    views: int = 1,
    seed: int = 0,
) -> list[Video]:
    """Samples of two tasks: ``look`` is in the mean of the features, ``move`` in their spread in time.

    With ``signal`` 0 there is nothing to be learned.

    Args:
        counts: split → number of samples.
        num_classes: of both tasks.
        dim: D.
        steps: T' of pool ``temporal``; pool ``mean`` is its mean.
        signal: how far the classes lie apart.
        views: of each sample.
        seed: of the features.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((num_classes, dim))
    spreads = np.exp(rng.standard_normal((num_classes, dim)) * signal / 2)
    videos = []
    for split, count in counts.items():
        for number in range(count):
            look, move = number % num_classes, (number // num_classes) % num_classes
            for view in range(views):
                noise = rng.standard_normal((steps, dim))
                noise = (noise - noise.mean(axis=0)) * spreads[move]
                temporal = signal * centres[look] + rng.standard_normal(dim) + noise
                features = {"temporal": temporal, "mean": temporal.mean(axis=0)}
                sample_id = f"{split}/{number}"
                videos.append(
                    Video(
                        video_id=f"{sample_id}/view_{view}",
                        sample_id=sample_id,
                        view=view,
                        split=split,
                        labels={"look": look, "move": move},
                        clips=[Clip(features=features)],
                    )
                )
    return videos


BLOB_TASKS = {"look": ["red", "green", "blue"], "move": ["still", "slow", "fast"]}


def write_world(folder: Path, videos: Sequence[Video], tasks: Mapping[str, Sequence[str]] = BLOB_TASKS) -> None:
    """``cache/videomae`` and ``manifests/all.parquet`` below a folder."""
    make_store(folder / "cache" / "videomae", videos)
    write_manifest(make_manifest(videos, tasks), folder / "manifests" / "all.parquet")
