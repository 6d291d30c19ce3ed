"""What a manifest says of samples and of their frames, joined to samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fouls.heads.batch import LIVE, REPLAY, UNKNOWN_KIND
from fouls.heads.frames import IGNORE, PerFrame, frames_of
from fouls.heads.losses import MISSING
from fouls.heads.samples import Samples
from fouls.heads.tasks import Task
from fouls.manifests.schema import KEYPOINTS_COLUMN


def with_labels(samples: Samples, rows: pa.Table, manifest: pa.Table, tasks: Sequence[Task]) -> Samples:
    """The samples with splits, kinds of views, labels, labels a frame, and keypoints.

    Args:
        samples: made of ``rows``.
        rows: the samples' rows, with ``position`` in the manifest, ``split`` and ``replay_speed``.
        manifest: where labels are.
        tasks: whose labels; one that the manifest lacks has none.
    """
    first_rows = samples.clips[0, :, 0].numpy()  # of each track
    videos = rows["position"].to_numpy()[first_rows]  # (U,) positions in the manifest
    first_tracks = samples.tracks.numpy()[:, 0]
    splits = rows["split"].to_numpy().astype(object)[first_rows[first_tracks]]
    kinds = view_kinds(rows["replay_speed"])[first_rows]
    samples = dataclasses.replace(samples, splits=splits, view_kinds=torch.from_numpy(kinds))
    labels = {
        task.name: torch.from_numpy(labels_of_samples(task, manifest, samples.sample_ids))
        for task in tasks
        if not task.per_frame
    }
    samples = dataclasses.replace(samples, labels=labels)
    lists = {task.name: _lists(manifest, task.column, videos) for task in tasks if task.per_frame}
    has_keypoints = KEYPOINTS_COLUMN in manifest.column_names
    return with_frames(samples, rows, lists, _lists(manifest, KEYPOINTS_COLUMN, videos) if has_keypoints else None)


def with_frames(
    samples: Samples,
    rows: pa.Table,
    labels: dict[str, list[PerFrame]],
    keypoints: list[PerFrame] | None = None,
) -> Samples:
    """The samples with what is known of frames; as they are where nothing is.

    Args:
        samples: made of ``rows``.
        rows: the samples' rows, with ``frame_indices``, ``start_frame`` and ``stop_frame``.
        labels: task → (U,) labels of the tracks' videos from native frame 0 on.
        keypoints: (U,) of (frames, 3 K), likewise.
    """
    if not labels and keypoints is None:
        return samples
    frames = frames_of(rows, samples.clips.numpy(), samples.values.shape[1], list(labels.values()))
    placed = None
    if keypoints is not None and any(of_video is not None for of_video in keypoints):
        flat = frames.place(keypoints, np.nan, torch.float32)
        placed = flat.reshape(*flat.shape[:-1], -1, 3)
    return dataclasses.replace(
        samples,
        frames=frames,
        frame_labels={task: frames.place(lists, IGNORE, torch.int64) for task, lists in labels.items()},
        keypoints=placed,
    )


def view_kinds(replay_speed: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Live, replay or unknown, by the manifest's ``replay_speed``."""
    kinds = pc.if_else(pc.equal(replay_speed, 1.0), LIVE, REPLAY)
    found: npt.NDArray[np.int64] = pc.fill_null(kinds, UNKNOWN_KIND).to_numpy().astype(np.int64)
    return found


def labels_of_samples(task: Task, manifest: pa.Table, sample_ids: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """The label of each sample: what any of its videos says (they agree), -1 where none says anything.

    Returns:
        (S,) class indices; of a multi-label task (S, classes), 1 or 0, or -1 in all of a row.
    """
    shape = (len(sample_ids), len(task.classes)) if task.multi_label else (len(sample_ids),)
    labels = np.full(shape, MISSING, dtype=np.int64)
    if task.column not in manifest.column_names:
        return labels
    column = manifest[task.column]
    says = pc.is_valid(column)
    owners, values = manifest["sample_id"].filter(says).combine_chunks(), column.filter(says).combine_chunks()
    found = pc.index_in(pa.array(sample_ids, pa.string()), value_set=owners)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    of_samples = values.take(pc.drop_null(found))
    if task.multi_label:
        labels[known] = 0
        rows = np.flatnonzero(known)[pc.list_parent_indices(of_samples).to_numpy()]
        labels[rows, pc.list_flatten(of_samples).to_numpy()] = 1
    else:
        labels[known] = of_samples.to_numpy()
    return labels


def _lists(manifest: pa.Table, column: str, videos: npt.NDArray[np.int64]) -> list[PerFrame]:
    """What the frames of each track's video say, from native frame 0 on."""
    if column not in manifest.column_names:
        return [None] * len(videos)
    cells = manifest[column].take(pa.array(videos)).combine_chunks()
    return [_frames_of_cell(cell) for cell in cells]


def _frames_of_cell(cell: pa.Scalar) -> PerFrame:
    if not cell.is_valid:
        return None
    values = cell.values
    if pa.types.is_fixed_size_list(values.type):
        return values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)  # type: ignore[no-any-return]
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
