"""The column of keypoints: an entry a native frame, aligned as labels a frame are.

An entry holds x / width, y / height and likelihood of each keypoint, in the order of the names in the metadata. A
keypoint that is missing has NaN coordinates and likelihood 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.errors import ManifestError
from fouls.manifests.complaints import complain_of_length, place_of
from fouls.manifests.schema import KEYPOINTS_COLUMN, KEYPOINTS_KEY, keypoints_type

Keypoints = npt.NDArray[np.float32]
"""(F, K, 3): x, y and likelihood of K keypoints in the native frames 0 to F − 1."""


def keypoints_of(table: pa.Table) -> tuple[str, ...]:
    """The names of a manifest's keypoints, in the order in which a frame holds them; empty where there are none."""
    return tuple(json.loads((table.schema.metadata or {}).get(KEYPOINTS_KEY, b"[]")))


def keypoints_array(videos: Sequence[Keypoints | None], num_keypoints: int) -> pa.Array:
    """The column of a manifest.

    Args:
        videos: (F, K, 3) each; ``None``: no keypoints.
        num_keypoints: K.
    """
    lengths = [0 if frames is None else len(frames) for frames in videos]
    parts = [frames.reshape(-1) for frames in videos if frames is not None]
    values = np.concatenate([np.zeros(0, dtype=np.float32), *parts])
    column_type = keypoints_type(num_keypoints)
    return pa.ListArray.from_arrays(
        pa.array(np.cumsum([0, *lengths]), pa.int32()),
        pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), type=column_type.value_type),
        type=column_type,
        mask=pa.array([frames is None for frames in videos], pa.bool_()),
    )


def check_keypoints(table: pa.Table, source: str) -> None:
    """Names and column go together; coordinates are finite or both NaN, likelihoods in [0, 1].

    Raises:
        ManifestError: on the first fault found, with file, row (0-based) and value.
    """
    names = _check_names(table, source)
    if not names:
        return
    complain_of_length(table, KEYPOINTS_COLUMN, source, "entries")
    column = table[KEYPOINTS_COLUMN].combine_chunks()
    per_frame = column.flatten()
    rows = pc.list_parent_indices(column)
    if per_frame.null_count or per_frame.flatten().null_count:
        raise ManifestError(f"{source}: column {KEYPOINTS_COLUMN!r}: null in a list; a missing keypoint is NaN")
    values = _values(column, len(names))  # (frames, K, 3)
    unknown, likelihood = np.isnan(values[..., :2]), values[..., 2]
    wrong = (
        np.isinf(values[..., :2]).any(axis=-1)
        | (unknown[..., 0] != unknown[..., 1])
        | ~((likelihood >= 0) & (likelihood <= 1))
    )
    if wrong.any():
        frame, keypoint = (int(index) for index in np.argwhere(wrong)[0])
        raise ManifestError(
            f"{place_of(table, rows[frame].as_py(), KEYPOINTS_COLUMN, source)}: keypoint {names[keypoint]!r} is "
            f"{values[frame, keypoint].tolist()}; x and y are finite or both NaN, the likelihood is in [0, 1]"
        )


def digest_of(table: pa.Table) -> str:
    """SHA-256 of names and values, in hexadecimal digits."""
    names = keypoints_of(table)
    column = table[KEYPOINTS_COLUMN].combine_chunks()
    digest = hashlib.sha256(json.dumps([names, pc.list_value_length(column).to_pylist()]).encode())
    values = _values(column, len(names))
    digest.update(np.where(np.isnan(values), np.float32("nan"), values).astype("<f4").tobytes())
    return digest.hexdigest()


def _values(column: pa.ListArray, num_keypoints: int) -> Keypoints:
    """(frames of all videos, K, 3)"""
    values: Keypoints = column.flatten().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, num_keypoints, 3)


def _check_names(table: pa.Table, source: str) -> tuple[str, ...]:
    key = KEYPOINTS_KEY.decode()
    try:
        names: Any = json.loads((table.schema.metadata or {}).get(KEYPOINTS_KEY, b"[]"))
    except ValueError as error:
        raise ManifestError(f"{source}: metadata {key} is not JSON: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ManifestError(f"{source}: metadata {key} is {names!r}, not a list of names")
    if len(set(names)) < len(names):
        raise ManifestError(f"{source}: metadata {key} names a keypoint twice: {', '.join(names)}")
    has_column = KEYPOINTS_COLUMN in table.column_names
    if has_column != bool(names):
        missing = f"column {KEYPOINTS_COLUMN!r}" if names else f"the names of its keypoints in the metadata ({key})"
        raise ManifestError(f"{source}: {missing} is missing")
    if has_column and table.schema.field(KEYPOINTS_COLUMN).type != keypoints_type(len(names)):
        raise ManifestError(
            f"{source}: column {KEYPOINTS_COLUMN!r} is {table.schema.field(KEYPOINTS_COLUMN).type}; for "
            f"{len(names)} keypoints it must be {keypoints_type(len(names))}"
        )
    return tuple(names)
