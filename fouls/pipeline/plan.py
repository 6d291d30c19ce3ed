"""The plan: which clips of which videos become which rows. Only what the store does not have yet is planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.rows import ROW_SCHEMA
from fouls.cache.spec import SamplingSpec, Spec
from fouls.errors import VIDEO_ERROR_CODES, VideoError
from fouls.pipeline.augmentation import ClipKey, jitter_clip
from fouls.pipeline.sampling import sample_clips, stream

VideoKey = tuple[str | None, int | None, int | None]
"""Content hash and segment: what a video's rows are made from."""


@dataclass(frozen=True, kw_only=True)
class KnownVideo:
    """What a store has of a video."""

    key: VideoKey
    passes: int
    """Augmented passes that are planned; 0: the plain one alone."""


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """One row, before it has a number."""

    clip: int
    crop: int
    augment: int = 0
    indices: npt.NDArray[np.int64] | None
    """Native frames, (F,); ``None`` for a video that can't be planned."""
    error: str | None = None


def known_videos(rows: pa.Table, retired: npt.NDArray[np.bool_]) -> dict[str, KnownVideo]:
    """video_id → what its live rows in the store were planned from."""
    names = ["video_id", "augment", "content_hash", "segment_start", "segment_stop"]
    live = rows.filter(pa.array(~retired)).select(names)
    known: dict[str, KnownVideo] = {}
    for video_id, augment, *key in zip(*(live[name].to_pylist() for name in names), strict=True):
        before = known.get(video_id)
        if before is None or augment > before.passes:
            known[video_id] = KnownVideo(key=(key[0], key[1], key[2]), passes=augment)
    return known


def plan_rows(manifest: pa.Table, spec: Spec, *, known: Mapping[str, KnownVideo], passes: int = 0) -> pa.Table:
    """Plan the videos of a manifest that are new, or whose content or segment is not the one that is known.

    Args:
        manifest: a validated manifest.
        spec: which frames make which clips.
        known: what the store has, see :func:`known_videos`.
        passes: augmented passes that every video is to have; those that it has already stay, more are added.

    Returns:
        The new rows, ``fouls.cache.rows.ROW_SCHEMA``, numbered from 0; all of a video together, pass by pass. A video
        that can't be sampled has one row with a ``plan_error``.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ROW_SCHEMA.names}
    wanted = ["video_id", "sample_id", "view", "content_hash", "start_frame", "stop_frame"]
    wanted += ["num_frames", "fps", "probe_error"]
    for video in _records(manifest.select(wanted)):
        for planned in plan_video(video, spec, _missing_passes(video, known, passes)):
            _append(columns, video, planned)
    columns["row"] = list(range(len(columns["video_id"])))
    return pa.table(columns, schema=ROW_SCHEMA)


def numbered(rows: pa.Table, first_row: int) -> pa.Table:
    """Planned rows with the numbers from ``first_row`` on."""
    numbers = pa.array(range(first_row, first_row + rows.num_rows), pa.int64())
    return rows.set_column(0, ROW_SCHEMA.field("row"), numbers)


def _missing_passes(video: dict[str, Any], known: Mapping[str, KnownVideo], passes: int) -> range:
    """The passes, 0 the plain one, of which the store has no rows of this video as it is now."""
    found = known.get(video["video_id"])
    key: VideoKey = (video["content_hash"], video["start_frame"], video["stop_frame"])
    if found is None:
        return range(passes + 1)
    if found.key == key:
        return range(found.passes + 1, passes + 1)
    is_gone = video["content_hash"] is None  # what was extracted from a file that can't be read now stays
    return range(0) if is_gone else range(passes + 1)


def plan_video(video: dict[str, Any], spec: Spec, passes: range = range(1)) -> list[PlannedClip]:
    """The clips of one video, a manifest row as a dict, in some passes; 0 is the plain one."""
    if video["probe_error"] is not None or not video["num_frames"]:
        return _hopeless(_with_code(video["probe_error"] or "no frames"), passes)
    start = video["start_frame"] or 0
    stop = min(video["num_frames"], video["stop_frame"] or video["num_frames"])
    num_frames, fps = max(0, stop - start), video["fps"] or 0.0
    try:
        clips = _sample(num_frames, fps, spec.sampling) if passes else []
    except VideoError as error:
        return _hopeless(f"{error.code}: {error}", passes)
    planned = []
    for augment in passes:
        for clip, plain in enumerate(clips):
            if augment == 0:
                crops = range(spec.sampling.num_crops)
                planned += [PlannedClip(clip=clip, crop=crop, indices=plain + start) for crop in crops]
            else:
                indices = jitter_clip(plain, num_frames, fps, spec, _clip_key(video, clip, augment))
                planned.append(PlannedClip(clip=clip, crop=0, augment=augment, indices=indices + start))
    return planned


def _hopeless(error: str, passes: range) -> list[PlannedClip]:
    """The one row of a video that can't be sampled; it belongs to the plain pass."""
    return [PlannedClip(clip=0, crop=0, indices=None, error=error)] if 0 in passes else []


def _clip_key(video: dict[str, Any], clip: int, augment: int) -> ClipKey:
    segment = (video["start_frame"], video["stop_frame"])
    return ClipKey(content=video["content_hash"] or video["video_id"], segment=segment, clip=clip, augment=augment)


@lru_cache(maxsize=4096)
def _sample(num_frames: int, fps: float, sampling: SamplingSpec) -> Sequence[npt.NDArray[np.int64]]:
    if sampling.kind == "stream":
        return stream(num_frames, sampling.num_frames, sampling.frame_stride or 1)
    return list(sample_clips(num_frames, fps, sampling))


def _with_code(error: str) -> str:
    code = error.partition(":")[0]
    return error if code in VIDEO_ERROR_CODES else f"unreadable: {error}"


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _append(columns: dict[str, list[Any]], video: dict[str, Any], planned: PlannedClip) -> None:
    indices = planned.indices
    start = stop = None
    if indices is not None:
        start, stop = int(indices.min()), int(indices.max()) + 1
    fps = video["fps"]
    values = {
        "video_id": video["video_id"],
        "sample_id": video["sample_id"],
        "view": video["view"],
        "clip": planned.clip,
        "crop": planned.crop,
        "augment": planned.augment,
        "start_frame": start,
        "stop_frame": stop,
        "frame_indices": indices,
        "start_seconds": start / fps if fps and start is not None else None,
        "stop_seconds": stop / fps if fps and stop is not None else None,
        "content_hash": video["content_hash"],
        "segment_start": video["start_frame"],
        "segment_stop": video["stop_frame"],
        "plan_error": planned.error,
    }
    for name, value in values.items():
        columns[name].append(value)
