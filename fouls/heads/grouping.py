"""Which rows make which tracks, and which tracks which samples: index arrays from a row index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PADDING = -1
"""What index arrays hold where there is nothing."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which rows make which tracks, and which tracks which samples."""

    clips: Indices
    """(P, U, C) positions in the table of rows: pass, track, clip. Where a pass lacks a clip, the plain one stands."""
    tracks: Indices
    """(S, V)"""


def group_rows(rows: pa.Table, *, clips_are_steps: bool) -> Grouping:
    """Group rows to tracks and samples, both in the order in which they first stand in the table.

    Tracks are made of the plain rows; an augmented row stands in its pass where its plain one does.

    Args:
        rows: a row index with ``sample_id, video_id, view, clip, crop``, and ``augment`` if there is more than the
            plain pass.
        clips_are_steps: the clips of one video are the time steps of one track (sampling ``dense`` or ``stream``).
    """
    augment = rows["augment"].to_numpy() if "augment" in rows.column_names else np.zeros(rows.num_rows, dtype=np.int64)
    plain = np.flatnonzero(augment == 0)
    sample, video = _codes(rows["sample_id"]), _codes(rows["video_id"])
    view, clip, crop = (rows[name].to_numpy().astype(np.int64) for name in ("view", "clip", "crop"))
    track_keys = [sample, view, video, crop] if clips_are_steps else [sample, view, video, clip, crop]
    order = plain[np.lexsort((clip[plain], *(key[plain] for key in reversed(track_keys))))]  # by track, then in time
    changes = np.zeros(len(order), dtype=bool)
    for key in track_keys:
        changes[1:] |= np.diff(key[order]) != 0
    clips = pad_groups(np.cumsum(changes), order)  # (U, C)
    samples = np.unique(sample[clips[:, 0]] if len(clips) else sample[:0], return_inverse=True)[1]  # (U,) 0 … S − 1
    return Grouping(
        clips=_passes(clips, _row_keys(video, clip, crop), augment),
        tracks=pad_groups(samples, np.arange(len(clips))),
    )


def _row_keys(video: Indices, clip: Indices, crop: Indices) -> Indices:
    """One number for each (video, clip, crop)."""
    keys: Indices = (video * (clip.max(initial=0) + 1) + clip) * (crop.max(initial=0) + 1) + crop
    return keys


def _passes(plain: Indices, keys: Indices, augment: npt.NDArray[np.integer]) -> Indices:
    """The plain pass (U, C) and the augmented ones, (P, U, C)."""
    clips = np.repeat(plain[None], int(augment.max(initial=0)) + 1, axis=0)
    augmented = np.flatnonzero(augment > 0)
    if not len(augmented):
        return clips
    tracks, places = np.nonzero(plain != PADDING)
    plain_keys = keys[plain[tracks, places]]
    order = np.argsort(plain_keys)
    found = np.searchsorted(plain_keys[order], keys[augmented]).clip(max=len(order) - 1)
    has_plain = plain_keys[order][found] == keys[augmented]
    at = order[found[has_plain]]
    clips[augment[augmented][has_plain], tracks[at], places[at]] = augmented[has_plain]
    return clips


def pad_groups(groups: Indices, members: Indices) -> Indices:
    """Members of each group as rows of one array, filled up with :data:`PADDING`.

    >>> pad_groups(np.array([0, 0, 1]), np.array([7, 8, 9]))
    array([[ 7,  8],
           [ 9, -1]])

    Args:
        groups: (n,) group of each member: 0 … G − 1, ascending, none left out.
        members: (n,)
    """
    counts = np.bincount(groups)
    padded = np.full((len(counts), counts.max(initial=0)), PADDING, dtype=np.int64)
    within = np.arange(len(groups)) - (np.cumsum(counts) - counts)[groups]
    padded[groups, within] = members
    return padded


def _codes(column: pa.ChunkedArray) -> Indices:
    """Values as numbers, in the order of their first appearance."""
    codes: Indices = pc.dictionary_encode(column).combine_chunks().indices.to_numpy().astype(np.int64)
    return codes
