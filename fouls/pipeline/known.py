"""What a store has of the videos of a manifest, and what it lacks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KNOWN_COLUMNS = (
    *("video_id", "clip", "crop", "augment"),
    *("content_hash", "segment_start", "segment_stop"),
)
"""Columns of the row index that :func:`known_videos` reads."""

_PLANNED_FROM = {"content_hash": "content_hash", "start_frame": "segment_start", "stop_frame": "segment_stop"}
"""Column of the manifest → column of the row index: what a video's rows are made from."""


def known_videos(rows: pa.Table, retired: npt.NDArray[np.bool_]) -> pa.Table:
    """The videos of a row index, and what their live rows were planned from.

    Args:
        rows: with the columns :data:`KNOWN_COLUMNS`.
        retired: which of them do not count, (rows,).

    Returns:
        One row a video: ``video_id``, ``content_hash``, ``segment_start``, ``segment_stop``; and ``passes``, the
        augmented passes that are planned.
    """
    first = pc.and_(pc.equal(rows["clip"], 0), pc.equal(rows["crop"], 0))  # every pass of a video has one such row
    live = rows.filter(pc.and_(first, pa.array(~retired)))
    augment = live["augment"].to_numpy()
    known = live.select(["video_id", *_PLANNED_FROM.values()]).filter(pa.array(augment == 0)).combine_chunks()
    passes = np.zeros(known.num_rows, dtype=np.int64)
    if augment.any():
        names = live["video_id"].filter(pa.array(augment > 0))
        np.maximum.at(passes, _places(names, known["video_id"]), augment[augment > 0])
    return known.append_column("passes", pa.array(passes))


def first_passes(videos: pa.Table, known: pa.Table, passes: int) -> npt.NDArray[np.int64]:
    """The first pass of each video that the store lacks; 0: the plain one, above ``passes``: it lacks none.

    A video whose content or segment is another than the known one lacks all. What was extracted from a file that can't
    be read now, and so has no hash, stays, and nothing is added to it.

    Args:
        videos: of a manifest.
        known: see :func:`known_videos`.
        passes: augmented passes that every video is to have.

    Returns:
        (videos,)
    """
    place = _places(videos["video_id"], known["video_id"])
    there = known.take(pa.array(place, mask=place < 0))  # null where it is not known
    same = np.ones(videos.num_rows, dtype=bool)
    for ours, theirs in _PLANNED_FROM.items():
        same &= _equal(videos[ours], there[theirs])
    gone = pc.is_null(videos["content_hash"]).to_numpy()
    passes_there = pc.fill_null(there["passes"], 0).to_numpy()
    first = np.where(same, passes_there + 1, np.where(gone, passes + 1, 0))
    return np.where(place < 0, 0, first)


def _places(names: pa.ChunkedArray, among: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Where each name stands among others; -1: nowhere."""
    found = pc.index_in(names, value_set=among.combine_chunks())
    places: npt.NDArray[np.int64] = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return places


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where two columns agree; null equals null."""
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    equal: npt.NDArray[np.bool_] = pc.or_(both_null, pc.fill_null(pc.equal(one, other), False)).to_numpy()
    return equal
