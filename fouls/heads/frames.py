"""Labels a frame, aligned with the time steps of tracks by the index of the frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

IGNORE = -1
"""The label of a frame that counts for nothing."""


@dataclass(frozen=True, kw_only=True)
class FrameLabels:
    """The frames of U tracks: their labels, and the step that answers for each."""

    labels: Tensor
    """(U, F) int64: class of native frame f, :data:`IGNORE` where there is none."""
    steps: Tensor
    """(U, F) int64: the time step whose centre is nearest to frame f, -1 where the track has no such frame."""

    def to(self, device: torch.device) -> FrameLabels:
        """The same on a device."""
        return FrameLabels(labels=self.labels.to(device), steps=self.steps.to(device))


def align_frames(
    rows: pa.Table,
    clips: npt.NDArray[np.int64],
    steps_per_clip: int,
    lists: Iterable[npt.NDArray[np.int16] | None] | None = None,
) -> FrameLabels:
    """Match the frames of tracks with their time steps, by the index of the frame.

    A track has the frames from the first to the last of its clips, and those that carry a label.

    Args:
        rows: R rows with ``frame_indices``, ``start_frame`` and ``stop_frame``.
        clips: (U, C) positions in ``rows``, -1 where there is none.
        steps_per_clip: T'.
        lists: (U,) the labels of the tracks' videos from frame 0 on; ``None`` for a video, or for all, without any.
    """
    present = clips >= 0
    picked = clips.clip(min=0)
    first = np.where(present, rows["start_frame"].to_numpy()[picked], np.iinfo(np.int64).max).min(axis=1)
    last = np.where(present, rows["stop_frame"].to_numpy()[picked], 0).max(axis=1)
    labels = pad_lists(lists if lists is not None else [None] * len(clips), int(last.max(initial=0)))
    centres = step_centres(np.stack(rows["frame_indices"].to_numpy()), steps_per_clip)  # (R, T')
    of_tracks = np.where(present[..., None], centres[picked], np.inf).reshape(len(clips), -1)  # (U, C × T')
    steps = nearest_steps(of_tracks, labels.shape[1])
    frames = np.arange(labels.shape[1])
    exists = ((frames >= first[:, None]) & (frames < last[:, None])) | (labels != IGNORE)
    return FrameLabels(labels=torch.from_numpy(labels), steps=torch.from_numpy(np.where(exists, steps, -1)))


def step_centres(frame_indices: npt.NDArray[np.integer], steps_per_clip: int) -> npt.NDArray[np.float64]:
    """Where in the video the T' steps of each clip have their centres.

    The F frames of a clip are shared evenly by its steps; a centre is the mean position of a step's frames, read off
    the frame indices by linear interpolation: with F = 16 and T' = 8 it is the mean of each pair of indices.

    Args:
        frame_indices: (clips, F) native frames, ascending.
        steps_per_clip: T'.

    Returns:
        (clips, T') in native frames.
    """
    num_frames = frame_indices.shape[1]
    positions = (np.arange(steps_per_clip) + 0.5) * num_frames / steps_per_clip - 0.5
    positions = positions.clip(0, num_frames - 1)
    before = np.floor(positions).astype(np.int64)
    after = np.minimum(before + 1, num_frames - 1)
    share = positions - before
    centres: npt.NDArray[np.float64] = frame_indices[:, before] * (1 - share) + frame_indices[:, after] * share
    return centres


def nearest_steps(centres: npt.NDArray[np.float64], num_frames: int) -> npt.NDArray[np.int64]:
    """For every frame the step whose centre is nearest; of two that are equally near, the one earlier in the video.

    Args:
        centres: (U, T) in native frames, in any order, ``inf`` where a track has no such step; each has one at least.
        num_frames: F.

    Returns:
        (U, F) indices of steps.
    """
    num_tracks, num_steps = centres.shape
    order = np.argsort(centres, axis=1, kind="stable")
    ascending = np.take_along_axis(centres, order, axis=1)
    # Frame f belongs to the k-th centre when k midpoints lie before it. One search serves all tracks: track u's
    # midpoints and frames are moved by u × (F + 1), so that the concatenation is ascending.
    midpoints = np.minimum((ascending[:, :-1] + ascending[:, 1:]) / 2, num_frames)  # (U, T − 1)
    offsets = np.arange(num_tracks)[:, None] * (num_frames + 1.0)
    frames = np.arange(num_frames)[None, :] + offsets
    before = np.searchsorted((midpoints + offsets).ravel(), frames.ravel(), side="left").reshape(frames.shape)
    rank = before - np.arange(num_tracks)[:, None] * (num_steps - 1)
    return np.take_along_axis(order, rank, axis=1)


def pad_lists(lists: Iterable[npt.NDArray[np.int16] | None], min_length: int = 0) -> npt.NDArray[np.int64]:
    """Lists of labels as one array (U, F), :data:`IGNORE` after the end of each; ``None`` is an empty list."""
    filled = [np.zeros(0, dtype=np.int16) if labels is None else labels for labels in lists]
    lengths = np.array([len(labels) for labels in filled], dtype=np.int64)
    padded = np.full((len(filled), lengths.max(initial=min_length)), IGNORE, dtype=np.int64)
    if filled:
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(filled)
    return padded
