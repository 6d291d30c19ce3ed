"""From a store and a manifest to samples with labels: rows that are done, joined with the manifest on ``video_id``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fouls.cache.store import Store
from fouls.errors import ConfigError, RunError
from fouls.heads.coverage import Coverage, join, measure_coverage
from fouls.heads.frames import FrameLabels, align_frames
from fouls.heads.pool import check_pool, read_pool
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task
from fouls.manifests.validation import check_samples


def load_samples(
    store: Store,
    manifest: pa.Table,
    *,
    pool: str,
    tasks: Sequence[Task],
    splits: Collection[str],
    need_labels: bool = True,
) -> tuple[Samples, Coverage]:
    """Read a pool into memory and join it with the labels of a manifest.

    Only rows that are done, of the plain pass (no augmentation), and of the content and segment that the manifest
    describes, count. Samples without labels are there too, with label -1.

    Args:
        store: where the features are.
        manifest: a validated manifest; it decides samples, views, splits and labels.
        pool: a pool with a vector a clip (``mean``, ``cls``, …), or ``temporal``.
        tasks: whose labels are joined; one that the manifest lacks has none.
        splits: which samples are read.
        need_labels: at least one labelled sample must have features, not just any.

    Returns:
        The samples that have features, in the order of the manifest, and how many do not.

    Raises:
        ConfigError: the pool, or the sampling for a task with a label a frame, is none that heads can read.
        ManifestError: views of one sample contradict each other.
        RunError: no sample with features.
        StoreError: a row that is said to be done is not finite.
    """
    check_pool(store, pool)
    if store.spec.sampling.kind == "views" and any(task.per_frame for task in tasks):
        raise ConfigError(
            f"sampling of {store.path} is 'views', whose clips overlap; labels a frame need uniform, center, dense "
            "or window: extract again with --sampling dense"
        )
    check_samples(manifest, "manifest")
    of_splits = manifest.filter(pc.is_in(manifest["split"], value_set=pa.array(list(splits), pa.string())))
    if not of_splits.num_rows:
        there = ", ".join(repr(split) for split in pc.unique(manifest["split"]).to_pylist())
        raise RunError(f"the manifest has no split {' or '.join(map(repr, splits))}; it has {there}")
    rows = store.rows()
    positions, reasons = join(rows, of_splits)
    coverage = measure_coverage(of_splits, tasks, positions, reasons)
    if (need_labels and coverage.labelled == coverage.missing) or not (positions >= 0).any():
        raise RunError(_nothing_message(store, tasks, splits, coverage))
    rows = _with_manifest_columns(rows, of_splits, positions)
    values = read_pool(store, pool, rows["row"].to_numpy(), rows["video_id"])
    samples = samples_from_rows(values, rows, clips_are_steps=store.spec.sampling.kind in ("dense", "stream"))
    return _with_labels(samples, rows, of_splits, tasks), coverage


def _nothing_message(store: Store, tasks: Sequence[Task], splits: Collection[str], coverage: Coverage) -> str:
    names, where = ", ".join(task.name for task in tasks), " or ".join(map(repr, splits))
    if not coverage.labelled:
        return f"no sample of split {where} carries a label of {names}: `fouls manifest show` counts them"
    reasons = ", ".join(f"{count} {reason}" for reason, count in coverage.reasons.items() if count)
    return (
        f"none of the {coverage.labelled} samples of split {where} with a label of {names} has features in "
        f"{store.path} (videos: {reasons}): `fouls extract --backbone {store.spec.backbone} --out {store.path}`, or "
        "name another --manifest"
    )


def _with_manifest_columns(rows: pa.Table, manifest: pa.Table, positions: npt.NDArray[np.int64]) -> pa.Table:
    """The rows that count, in the order of the manifest, with its sample, view and position."""
    kept = np.flatnonzero(positions >= 0)
    kept = kept[np.argsort(positions[kept], kind="stable")]
    rows = rows.take(pa.array(kept))
    described = manifest.select(["sample_id", "view", "split"]).take(pa.array(positions[kept]))
    for name in ("sample_id", "view"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, described[name])
    return rows.append_column("split", described["split"]).append_column("position", pa.array(positions[kept]))


def _with_labels(samples: Samples, rows: pa.Table, manifest: pa.Table, tasks: Sequence[Task]) -> Samples:
    clips = samples.clips.numpy()
    first_rows = clips[:, 0]  # of each track
    videos = rows["position"].to_numpy()[first_rows]  # (U,) positions in the manifest
    first_tracks = samples.tracks.numpy()[:, 0]
    labels: dict[str, torch.Tensor] = {}
    frame_labels: dict[str, FrameLabels] = {}
    for task in tasks:
        column = manifest[task.column] if task.column in manifest.column_names else None
        if task.per_frame:
            lists = None if column is None else column.take(pa.array(videos)).to_numpy()
            frame_labels[task.name] = align_frames(rows, clips, samples.values.shape[1], lists)
        elif column is None:
            labels[task.name] = torch.full((len(samples),), -1)
        else:
            labels[task.name] = torch.from_numpy(_labels_of_samples(column, manifest["sample_id"], samples.sample_ids))
    splits = rows["split"].to_numpy().astype(object)[first_rows[first_tracks]]
    return dataclasses.replace(samples, labels=labels, frame_labels=frame_labels, splits=splits)


def _labels_of_samples(
    column: pa.ChunkedArray, manifest_samples: pa.ChunkedArray, sample_ids: npt.NDArray[np.object_]
) -> npt.NDArray[np.int64]:
    """The label of each sample: what any of its videos says (they agree), -1 where none says anything."""
    says = pc.is_valid(column)
    owners, values = manifest_samples.filter(says).combine_chunks(), column.filter(says).to_numpy()
    found = pc.index_in(pa.array(sample_ids, pa.string()), value_set=owners)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    labels = np.full(len(sample_ids), -1, dtype=np.int64)
    labels[known] = values[pc.drop_null(found).to_numpy()]
    return labels
