"""The plan: which clips of which videos become which rows. Only what the store does not have yet is planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.rows import ROW_SCHEMA
from fouls.cache.spec import SamplingSpec
from fouls.errors import VIDEO_ERROR_CODES, VideoError
from fouls.pipeline.sampling import sample_clips, stream

VideoKey = tuple[str | None, int | None, int | None]
"""Content hash and segment: what a video's rows are made from."""


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """One row, before it has a number."""

    clip: int
    crop: int
    indices: npt.NDArray[np.int64] | None
    """Native frames, (F,); ``None`` for a video that can't be planned."""
    error: str | None = None


def known_videos(rows: pa.Table, retired: npt.NDArray[np.bool_]) -> dict[str, VideoKey]:
    """video_id → what its live rows in the store were planned from."""
    live = rows.filter(pa.array(~retired)).select(["video_id", "content_hash", "segment_start", "segment_stop"])
    columns = [live[name].to_pylist() for name in live.column_names]
    return {video_id: (digest, start, stop) for video_id, digest, start, stop in zip(*columns, strict=True)}


def plan_rows(manifest: pa.Table, sampling: SamplingSpec, *, known: dict[str, VideoKey]) -> pa.Table:
    """Plan the videos of a manifest that are new, or whose content or segment is not the one that is known.

    Args:
        manifest: a validated manifest.
        sampling: which frames make which clips.
        known: what the store has, see :func:`known_videos`.

    Returns:
        The new rows, ``fouls.cache.rows.ROW_SCHEMA``, numbered from 0. A video that can't be sampled
        has one row with a ``plan_error``.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ROW_SCHEMA.names}
    wanted = ["video_id", "sample_id", "view", "content_hash", "start_frame", "stop_frame"]
    wanted += ["num_frames", "fps", "probe_error"]
    for video in _records(manifest.select(wanted)):
        key: VideoKey = (video["content_hash"], video["start_frame"], video["stop_frame"])
        if known.get(video["video_id"], ()) == key or _is_gone(video, known):
            continue
        for planned in plan_video(video, sampling):
            _append(columns, video, planned)
    columns["row"] = list(range(len(columns["video_id"])))
    return pa.table(columns, schema=ROW_SCHEMA)


def numbered(rows: pa.Table, first_row: int) -> pa.Table:
    """Planned rows with the numbers from ``first_row`` on."""
    numbers = pa.array(range(first_row, first_row + rows.num_rows), pa.int64())
    return rows.set_column(0, ROW_SCHEMA.field("row"), numbers)


def _is_gone(video: dict[str, Any], known: dict[str, VideoKey]) -> bool:
    """Whether the file can't be read now but was once planned: what was extracted from it stays."""
    return video["content_hash"] is None and video["video_id"] in known


def plan_video(video: dict[str, Any], sampling: SamplingSpec) -> list[PlannedClip]:
    """The clips of one video: a manifest row as a dict."""
    if video["probe_error"] is not None or not video["num_frames"]:
        return [PlannedClip(clip=0, crop=0, indices=None, error=_with_code(video["probe_error"] or "no frames"))]
    start = video["start_frame"] or 0
    stop = min(video["num_frames"], video["stop_frame"] or video["num_frames"])
    try:
        clips = _sample(max(0, stop - start), video["fps"] or 0.0, sampling)
    except VideoError as error:
        return [PlannedClip(clip=0, crop=0, indices=None, error=f"{error.code}: {error}")]
    return [
        PlannedClip(clip=clip, crop=crop, indices=indices + start)
        for clip, indices in enumerate(clips)
        for crop in range(sampling.num_crops)
    ]


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
        "augment": 0,
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
