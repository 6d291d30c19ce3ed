"""The plan: which clips of which videos become which rows. Only what the store does not have yet is planned.

A manifest may have a million videos: numpy and Arrow work on many of them at once; nothing but what an augmented pass
draws is done clip by clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.rows import ROW_SCHEMA
from fouls.cache.spec import Spec
from fouls.errors import VIDEO_ERROR_CODES
from fouls.manifests.schema import BASE_FIELDS
from fouls.pipeline.augmentation import ClipKey, jitter_clip
from fouls.pipeline.clip_lists import ClipLists, Ints, sample_videos
from fouls.pipeline.known import first_passes

VIDEOS_AT_ONCE = 2**14
"""Videos that are planned together."""

Floats = npt.NDArray[np.float64]

_DESCRIBED = ["video_id", "sample_id", "view", "content_hash", "start_frame", "stop_frame"]
_READ = pa.schema([field for field in BASE_FIELDS if field.name in {*_DESCRIBED, "num_frames", "fps", "probe_error"}])


def plan_rows(manifest: pa.Table, spec: Spec, *, known: pa.Table | None = None, passes: int = 0) -> pa.Table:
    """Plan the videos of a manifest that are new, or whose content or segment is not the one that is known.

    Args:
        manifest: a validated manifest.
        spec: which frames make which clips.
        known: what the store has, see :func:`fouls.pipeline.known.known_videos`; ``None``: nothing.
        passes: augmented passes that every video is to have; those that it has already stay, more are added.

    Returns:
        The new rows, ``fouls.cache.rows.ROW_SCHEMA``, numbered from 0; all of a video together, pass by pass. A video
        that can't be sampled has one row with a ``plan_error``.
    """
    videos = manifest.select(_READ.names).cast(_READ)
    first = np.zeros(videos.num_rows, dtype=np.int64) if known is None else first_passes(videos, known, passes)
    lacking = np.flatnonzero(first <= passes)
    parts = [ROW_SCHEMA.empty_table()]
    for start in range(0, len(lacking), VIDEOS_AT_ONCE):
        some = lacking[start : start + VIDEOS_AT_ONCE]
        parts.append(_plan(videos.take(pa.array(some)).combine_chunks(), first[some], passes, spec))
    return numbered(pa.concat_tables(parts), 0)


def numbered(rows: pa.Table, first_row: int) -> pa.Table:
    """Planned rows with the numbers from ``first_row`` on."""
    numbers = pa.array(np.arange(first_row, first_row + rows.num_rows))
    return rows.set_column(0, ROW_SCHEMA.field("row"), numbers)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """What each row is of; all (rows,)."""

    video: Ints
    augment: Ints
    clip: Ints
    crop: Ints


def _plan(videos: pa.Table, first_pass: Ints, passes: int, spec: Spec) -> pa.Table:
    """All rows of some videos, from a pass on that each has of its own."""
    num_frames, fps = _filled(videos["num_frames"], 0), _filled(videos["fps"], 0.0)
    start = _filled(videos["start_frame"], 0)
    stop = np.minimum(_filled(videos["stop_frame"], np.iinfo(np.int64).max), num_frames)
    unprobed = pc.is_valid(videos["probe_error"]).to_numpy() | (num_frames < 1)
    lengths = np.where(unprobed, 0, np.maximum(stop - start, 0))
    lists = sample_videos(lengths, fps, spec.sampling)
    places = _places(lists.count, first_pass, passes, spec.sampling.num_crops)
    frames = _frames(places, lists, videos, lengths, fps, start, spec)
    return _table(places, frames, videos, fps, _errors(videos, unprobed, lists))


def _filled(column: pa.ChunkedArray, value: float) -> npt.NDArray[Any]:
    filled: npt.NDArray[Any] = pc.fill_null(column, value).to_numpy()
    return filled


def _places(count: Ints, first_pass: Ints, passes: int, num_crops: int) -> _Places:
    """The rows of each video, pass by pass, clip by clip, crop by crop.

    A video without clips has one row, which can only fail; it belongs to the plain pass.
    """
    hopeless = count == 0
    video, nth = _spread(np.where(hopeless, first_pass == 0, passes + 1 - first_pass))  # (takes,): a video in a pass
    augment = first_pass[video] + nth
    crops = np.where(augment == 0, num_crops, 1)
    take, place = _spread(np.where(hopeless[video], 1, count[video] * crops))  # (rows,)
    clip, crop = np.divmod(place, crops[take])
    return _Places(video=video[take], augment=augment[take], clip=clip, crop=crop)


def _spread(counts: Ints) -> tuple[Ints, Ints]:
    """What ``counts`` of each make: whose each is, and which of them.

    >>> _spread(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]


def _frames(
    places: _Places, lists: ClipLists, videos: pa.Table, lengths: Ints, fps: Floats, start: Ints, spec: Spec
) -> pa.ListArray:
    """The native frames of each row; null where there are none."""
    hopeless = lists.count[places.video] == 0
    picked = lists.clips.take(pa.array(lists.first[places.video] + places.clip, mask=hopeless))
    edges, frames = picked.offsets.to_numpy(), picked.values.to_numpy().copy()
    augmented = np.flatnonzero((places.augment > 0) & ~hopeless)
    if len(augmented) and spec.augmentation is not None and spec.augmentation.jitter != "none":
        keys = _clip_keys(videos, places, augmented)
        for row, key in zip(augmented, keys, strict=True):
            clip, video = slice(edges[row], edges[row + 1]), places.video[row]
            frames[clip] = jitter_clip(frames[clip], int(lengths[video]), float(fps[video]), spec, key)
    frames += np.repeat(start[places.video], np.diff(edges))
    mask = pa.array(hopeless)
    return pa.ListArray.from_arrays(picked.offsets, pa.array(frames.astype(np.int32)), mask=mask)


def _clip_keys(videos: pa.Table, places: _Places, rows: Ints) -> Iterator[ClipKey]:
    columns = (videos[name].to_pylist() for name in ("content_hash", "video_id", "start_frame", "stop_frame"))
    facts = [(content or video_id, (start, stop)) for content, video_id, start, stop in zip(*columns, strict=True)]
    of_rows = (values[rows].tolist() for values in (places.video, places.clip, places.augment))
    for video, clip, augment in zip(*of_rows, strict=True):
        content, segment = facts[video]
        yield ClipKey(content=content, segment=segment, clip=clip, augment=augment)


def _errors(videos: pa.Table, unprobed: npt.NDArray[np.bool_], lists: ClipLists) -> pa.Array:
    """Why each video can't be planned; null where it can, (videos,)."""
    errors: list[str | None] = [None] * videos.num_rows
    for video, error in lists.errors.items():
        errors[video] = _with_code(videos["probe_error"][video].as_py() or "no frames") if unprobed[video] else error
    return pa.array(errors, pa.string())


def _with_code(error: str) -> str:
    code = error.partition(":")[0]
    return error if code in VIDEO_ERROR_CODES else f"unreadable: {error}"


def _table(places: _Places, frames: pa.ListArray, videos: pa.Table, fps: Floats, errors: pa.Array) -> pa.Table:
    """The rows, numbered among themselves."""
    edges, values = frames.offsets.to_numpy(), frames.values.to_numpy()
    sampled = np.diff(edges) > 0
    start, stop = np.zeros((2, len(sampled)), dtype=np.int64)
    start[sampled] = values[edges[:-1][sampled]]
    stop[sampled] = values[edges[1:][sampled] - 1] + 1  # the frames of a clip ascend
    rate = fps[places.video]
    untimed = ~sampled | (rate == 0)
    rate = np.where(untimed, 1.0, rate)
    described = videos.select(_DESCRIBED).append_column("plan_error", errors).take(pa.array(places.video))
    columns = {name: described[name] for name in ("video_id", "sample_id", "view", "content_hash", "plan_error")}
    columns |= {
        "row": np.arange(len(sampled)),
        "clip": places.clip,
        "crop": places.crop,
        "augment": places.augment,
        "start_frame": pa.array(start, mask=~sampled),
        "stop_frame": pa.array(stop, mask=~sampled),
        "frame_indices": frames,
        "start_seconds": pa.array(start / rate, mask=untimed),
        "stop_seconds": pa.array(stop / rate, mask=untimed),
        "segment_start": described["start_frame"],
        "segment_stop": described["stop_frame"],
    }
    return pa.table([columns[name] for name in ROW_SCHEMA.names], names=ROW_SCHEMA.names).cast(ROW_SCHEMA)
