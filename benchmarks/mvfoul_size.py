"""A store and a manifest of MVFoul's size: 2 319 samples with 2 to 4 views, 7 000 rows of 8 × 768, two tasks.

The features are made up. Both tasks are in them, in the mean over time and in what changes in time, under noise that no
head sees through altogether.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.blocks import BlockWriter
from fouls.cache.layout import choose_block_rows, create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import Store, open_store
from fouls.manifests.schema import BASE_FIELDS, manifest_schema
from fouls.manifests.table import write_manifest

NUM_ROWS, NUM_SAMPLES, NUM_VALID = 7000, 2319, 321
STEPS, DIM = 8, 768
TASKS = {"action": 8, "offence_severity": 4}

Features = npt.NDArray[np.float16]


def make_world(folder: Path) -> tuple[Store, pa.Table, Path]:
    """Write store and manifest below a folder.

    Returns:
        The store with pool ``temporal``, the manifest, and where the latter lies.
    """
    rng = np.random.default_rng(0)
    sample = np.repeat(np.arange(NUM_SAMPLES), num_views(rng))
    view = np.arange(NUM_ROWS) - np.searchsorted(sample, sample)
    labels = {task: rng.integers(0, classes, NUM_SAMPLES) for task, classes in TASKS.items()}
    manifest = make_manifest(sample, view, labels)
    path = folder / "manifests" / "all.parquet"
    write_manifest(manifest, path)
    return write_store(folder / "cache" / "videomae", manifest, make_features(rng, sample, labels)), manifest, path


def num_views(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """2 to 4 views of each sample, (samples,), 7 000 in all."""
    views = np.full(NUM_SAMPLES, 3)
    changed = rng.permutation(NUM_SAMPLES)
    fewer = 600
    views[changed[:fewer]] = 2
    views[changed[fewer : 2 * fewer + NUM_ROWS - 3 * NUM_SAMPLES]] = 4
    return views


def make_features(rng: np.random.Generator, sample: npt.NDArray[Any], labels: dict[str, npt.NDArray[Any]]) -> Features:
    """(rows, 8, 768)"""
    values = rng.standard_normal((len(sample), STEPS, DIM), dtype=np.float32)
    values += 0.7 * rng.standard_normal((NUM_SAMPLES, 1, DIM), dtype=np.float32)[sample]
    for task, classes in TASKS.items():
        look = 0.08 * rng.standard_normal((classes, 1, DIM), dtype=np.float32)
        move = 0.08 * rng.standard_normal((classes, STEPS, DIM), dtype=np.float32)
        values += (look + move)[labels[task][sample]]
    spread = np.exp(0.5 * rng.standard_normal(DIM, dtype=np.float32))
    return (values * spread + 2 * rng.standard_normal(DIM, dtype=np.float32)).astype(np.float16)


def make_manifest(sample: npt.NDArray[Any], view: npt.NDArray[Any], labels: dict[str, npt.NDArray[Any]]) -> pa.Table:
    """The manifest; the last samples are the valid split."""
    columns: dict[str, Any] = dict.fromkeys((field.name for field in BASE_FIELDS), [None] * len(sample))
    columns |= {
        "video_id": [f"{number}/{which}" for number, which in zip(sample, view, strict=True)],
        "sample_id": [str(number) for number in sample],
        "view": view,
        "path": [f"{number}/{which}.mp4" for number, which in zip(sample, view, strict=True)],
        "split": ["train" if number < NUM_SAMPLES - NUM_VALID else "valid" for number in sample],
        "num_frames": [100] * len(sample),
        "fps": [25.0] * len(sample),
        "content_hash": ["h"] * len(sample),
        **{f"label.{task}": of_task[sample] for task, of_task in labels.items()},
    }
    classes = {task: [f"class {number}" for number in range(count)] for task, count in TASKS.items()}
    return pa.Table.from_pydict(columns, schema=manifest_schema(classes, root="/videos"))


def write_store(path: Path, manifest: pa.Table, features: Features) -> Store:
    """Write the features with the store's own code, a row a video."""
    spec = Spec(
        backbone="videomae_base",
        weights=WeightsSpec(sha256="ab" * 32, random_seed=0),
        sampling=SamplingSpec(num_frames=16),
        preprocessing=PreprocessingSpec(
            resize_to=224, crop=224, antialias=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        pools=("temporal",),
    )
    shapes = {"temporal": features.shape[1:]}
    count = len(features)
    block_rows = choose_block_rows(count, shapes, spec.stored_dtype)
    create_group(path, spec=spec, shapes=shapes, block_rows=block_rows, made_by={})
    columns: dict[str, Any] = dict.fromkeys(ROW_SCHEMA.names, [None] * count)
    columns |= {name: manifest[name] for name in ("video_id", "sample_id", "view", "content_hash")}
    columns |= {name: [0] * count for name in ("clip", "crop", "augment", "start_frame")}
    columns |= {"row": range(count), "frame_indices": [range(0, 96, 6)] * count, "stop_frame": [96] * count}
    append_rows(path, pa.Table.from_pydict(columns, schema=ROW_SCHEMA))
    resize_arrays(path, count)
    writer = BlockWriter(open_store(path))
    for start in range(0, count, block_rows):
        stop = min(start + block_rows, count)
        record = BlockRecord(block=start // block_rows, done=[(start, stop)])
        writer.commit({"temporal": features[start:stop]}, record)
    return open_store(path)
