"""From stores and a manifest to samples with labels: rows that are done, joined with the manifest on ``video_id``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.store import Store
from fouls.errors import ConfigError, RunError
from fouls.heads.batch import InputForm
from fouls.heads.coverage import Coverage, join, measure_coverage
from fouls.heads.features import Features, matching, side_by_side
from fouls.heads.keypoints import PoseKind, pose_features
from fouls.heads.labels import with_labels
from fouls.heads.read_pool import read_pool
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task
from fouls.manifests.keypoints import keypoints_of
from fouls.manifests.validation import check_samples

STEPS_IN_TIME = ("dense", "stream")
"""Samplings whose clips are the time steps of one track."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which features and labels are read."""

    pools: tuple[str, ...]
    """The pool of each store: with a vector a clip (``mean``, ``cls``, …), ``temporal``, or ``tokens``."""
    tasks: tuple[Task, ...]
    """Whose labels are joined; one that the manifest lacks has none."""
    augmented: bool = False
    """Augmented passes are read too."""
    pose: PoseKind | None = None
    """Features of the manifest's keypoints stand beside the stores', and time steps are native frames."""
    memory_bytes: int | None = None
    """What an array of features may take of the memory; ``None``: half of what is available. Larger ones lie in a
    temporary file."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What :func:`load_samples` read."""

    samples: Samples
    """Those that have features, in the order of the manifest; without labels too, with label -1."""
    form: InputForm
    coverage: Coverage
    mapped_bytes: int
    """Of features that lie in a temporary file, as memory does not hold them; 0 where it does."""


def load_samples(
    stores: Sequence[Store],
    manifest: pa.Table,
    options: DataOptions,
    *,
    splits: Collection[str],
    need_labels: bool = True,
) -> Data:
    """Read pools into memory and join them with the labels of a manifest.

    Only rows that are done, of the content and segment that the manifest describes, count; of several stores those
    that all have.

    Args:
        stores: where the features are.
        manifest: a validated manifest; it decides samples, views, splits and labels.
        options: what is read.
        splits: which samples are read.
        need_labels: at least one labelled sample must have features, not just any.

    Raises:
        ConfigError: the stores don't fit each other, or the tasks; no augmented passes or keypoints where asked for.
        ManifestError: views of one sample contradict each other.
        RunError: no sample with features, or neither memory nor disk holds them.
        StoreError: a row that is said to be done is not finite, or a chunk is damaged.
    """
    _check_stores(stores, options)
    check_samples(manifest, "manifest")
    of_splits = manifest.filter(pc.is_in(manifest["split"], value_set=pa.array(list(splits), pa.string())))
    if not of_splits.num_rows:
        there = ", ".join(repr(split) for split in pc.unique(manifest["split"]).to_pylist())
        raise RunError(f"the manifest has no split {' or '.join(map(repr, splits))}; it has {there}")
    joined = _join(stores, of_splits, options)
    coverage = measure_coverage(of_splits, options.tasks, joined.has_features, joined.reasons)
    if (need_labels and coverage.labelled == coverage.missing) or not joined.has_features.any():
        raise RunError(_nothing_message(stores, options.tasks, splits, coverage))
    features = _read(stores, options, joined, of_splits)
    clips_are_steps = stores[0].spec.sampling.kind in STEPS_IN_TIME
    samples = samples_from_rows(features.values, features.rows, clips_are_steps=clips_are_steps)
    samples = with_labels(samples, features.rows, of_splits, options.tasks)
    widths, names = features.widths, keypoints_of(manifest)
    if options.pose is not None:
        samples = with_pose(samples, options.pose, names)
        assert samples.pose is not None
        widths = (*widths, samples.pose.shape[2])
    form = InputForm(
        widths=widths,
        num_steps=samples.num_steps,
        tokens="tokens" in options.pools,
        grid=next(
            (store.grids[pool] for store, pool in zip(stores, options.pools, strict=True) if pool in store.grids), None
        ),
        num_keypoints=len(names),
        pose_width=0 if samples.pose is None else samples.pose.shape[2],
    )
    return Data(samples=samples, form=form, coverage=coverage, mapped_bytes=features.mapped_bytes)


def with_pose(samples: Samples, kind: PoseKind, names: Sequence[str]) -> Samples:
    """The samples with features of the pose in every frame; their time steps are native frames from then on.

    Raises:
        ConfigError: there are no keypoints, or other ones than the kind needs.
    """
    if samples.keypoints is None:
        raise ConfigError(f"--pose {kind} needs keypoints, but the manifest has no column frame_keypoints")
    return dataclasses.replace(samples, pose=pose_features(samples.keypoints, kind, names))


@dataclass(frozen=True, kw_only=True)
class _Joined:
    """The rows of each store that count, those that belong together at the same place."""

    rows: list[pa.Table]
    positions: npt.NDArray[np.int64]
    """(R,) in the manifest."""
    has_features: npt.NDArray[np.bool_]
    """(videos,)"""
    reasons: dict[str, npt.NDArray[np.int64]]
    """Why videos lack features → their positions in the manifest."""


def _check_stores(stores: Sequence[Store], options: DataOptions) -> None:
    kinds = {str(store.path): store.spec.sampling.kind for store in stores}
    if len({kind in STEPS_IN_TIME for kind in kinds.values()}) > 1:
        said = ", ".join(f"{path} {kind!r}" for path, kind in kinds.items())
        raise ConfigError(f"the stores' samplings don't fit each other ({said}): extract them with the same --sampling")
    if options.pose is not None and "tokens" in options.pools:
        raise ConfigError(
            "--pose needs steps in time, but pool 'tokens' has steps in space: take --pool temporal or mean"
        )
    per_frame = any(task.per_frame for task in options.tasks) or options.pose is not None
    for path, kind in kinds.items():
        if kind == "views" and per_frame:
            raise ConfigError(
                f"sampling of {path} is 'views', whose clips overlap; labels and pose a frame need uniform, center, "
                "dense or window: extract again with --sampling dense"
            )


def _join(stores: Sequence[Store], manifest: pa.Table, options: DataOptions) -> _Joined:
    usable: list[pa.Table] = []
    planned: list[npt.NDArray[np.int64]] = []
    reasons: dict[str, npt.NDArray[np.int64]] = {}
    for store in stores:
        rows = store.rows()
        positions, why = join(rows, manifest, augmented=options.augmented)
        kept = np.flatnonzero(positions >= 0)
        usable.append(rows.take(pa.array(kept)).append_column("video", pa.array(positions[kept])))
        planned.append(_planned_clips(rows, manifest))
        suffix = f" in {store.path}" if len(stores) > 1 else ""
        reasons |= {reason + suffix: videos for reason, videos in why.items()}
        if options.augmented and not usable[-1]["augment"].to_numpy().any():
            raise ConfigError(
                f"{store.path} has no augmented rows: `fouls extract --backbone {store.spec.backbone} --augment 4 "
                "--out FOLDER` makes a store with them"
            )
    for store, clips in zip(stores[1:], planned[1:], strict=True):
        _check_clips((stores[0], planned[0]), (store, clips), usable, manifest)
    matched = matching(usable)
    order = np.argsort(usable[0]["video"].to_numpy()[matched[0]], kind="stable")  # as the manifest
    rows_of_each = [rows.take(pa.array(which[order])) for rows, which in zip(usable, matched, strict=True)]
    positions = rows_of_each[0]["video"].to_numpy()
    has_features = np.zeros(manifest.num_rows, dtype=bool)
    has_features[positions[rows_of_each[0]["augment"].to_numpy() == 0]] = True
    return _Joined(rows=rows_of_each, positions=positions, has_features=has_features, reasons=reasons)


def _planned_clips(rows: pa.Table, manifest: pa.Table) -> npt.NDArray[np.int64]:
    """How many plain rows are planned for each video, (videos,)."""
    planned = pc.and_(pc.equal(rows["augment"], 0), pc.not_equal(rows["status"], "retired"))
    rows = rows.select(["video_id"]).filter(planned)
    found = pc.drop_null(pc.index_in(rows["video_id"], value_set=manifest["video_id"].combine_chunks()))
    return np.bincount(found.to_numpy(), minlength=manifest.num_rows)


def _check_clips(
    one: tuple[Store, npt.NDArray[np.int64]],
    other: tuple[Store, npt.NDArray[np.int64]],
    usable: Sequence[pa.Table],
    manifest: pa.Table,
) -> None:
    """Refuse stores that cut a video that both have into other clips."""
    in_all = np.ones(manifest.num_rows, dtype=bool)
    for rows in usable:
        in_all &= np.isin(np.arange(manifest.num_rows), rows["video"].to_numpy())
    differs = np.flatnonzero(in_all & (one[1] != other[1]))
    if len(differs):
        video = int(differs[0])
        raise ConfigError(
            f"{one[0].path} has {one[1][video]} clips of video {manifest['video_id'][video].as_py()!r}, "
            f"{other[0].path} has {other[1][video]}: extract them with the same sampling"
        )


def _read(stores: Sequence[Store], options: DataOptions, joined: _Joined, manifest: pa.Table) -> Features:
    parts = [
        read_pool(store, pool, rows["row"].to_numpy(), rows["video_id"], memory_bytes=options.memory_bytes)
        for store, pool, rows in zip(stores, options.pools, joined.rows, strict=True)
    ]
    rows = joined.rows[0].drop_columns(["video"])
    described = manifest.select(["sample_id", "view", "split", "replay_speed"]).take(pa.array(joined.positions))
    for name in ("sample_id", "view"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, described[name])
    for name in ("split", "replay_speed"):
        rows = rows.append_column(name, described[name])
    rows = rows.append_column("position", pa.array(joined.positions))
    values = side_by_side(parts, [str(store.path) for store in stores], memory_bytes=options.memory_bytes)
    return Features(values=values, rows=rows, widths=tuple(part.shape[2] for part in parts))


def _nothing_message(
    stores: Sequence[Store], tasks: Sequence[Task], splits: Collection[str], coverage: Coverage
) -> str:
    names, where = ", ".join(task.name for task in tasks), " or ".join(map(repr, splits))
    if not coverage.labelled:
        return f"no sample of split {where} carries a label of {names}: `fouls manifest show` counts them"
    reasons = ", ".join(f"{count} {reason}" for reason, count in coverage.reasons.items() if count)
    store = stores[0]
    return (
        f"none of the {coverage.labelled} samples of split {where} with a label of {names} has features in "
        f"{' and '.join(str(store.path) for store in stores)} (videos: {reasons}): `fouls extract --backbone "
        f"{store.spec.backbone} --out {store.path}`, or name another --manifest"
    )
