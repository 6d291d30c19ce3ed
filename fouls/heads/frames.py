"""What is known of single frames, aligned with the time steps of tracks by the index of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

IGNORE = -1
"""The label of a frame that counts for nothing."""

PerFrame = npt.NDArray[Any] | None
"""What a video's frames say, from native frame 0 on; ``None``: nothing."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The native frames of U tracks: track u has the frames ``first[u]``, ``first[u] + 1``, …, F at most."""

    first: Tensor
    """(U,) int64: the native frame that stands at place 0."""
    steps: Tensor
    """(P, U, F) int64: in each pass the time step whose centre is nearest to the frame, -1 where there is no frame."""

    def steps_of(self, tracks: Tensor, passes: Tensor | None = None) -> Tensor:
        """The steps of the frames of some tracks.

        Args:
            tracks: (…,) int64, -1 where there is no track.
            passes: (…,) int64; ``None``: the plain pass.

        Returns:
            (…, F) int64, -1 where there is no frame.
        """
        picked = tracks.clamp(min=0)
        steps = self.steps[0, picked] if passes is None else self.steps[passes, picked]
        return steps.masked_fill(tracks[..., None] < 0, -1)

    def to(self, device: torch.device) -> Frames:
        """The same on a device."""
        return Frames(first=self.first.to(device), steps=self.steps.to(device))

    def place(self, lists: Sequence[PerFrame], fill: float, dtype: torch.dtype) -> Tensor:
        """What the videos' frames say, at the places of the tracks' frames.

        Args:
            lists: (U,) of (frames, …) arrays, from native frame 0 on.
            fill: what stands where nothing is said.
            dtype: of the result.

        Returns:
            (U, F, …)
        """
        shape = next((values.shape[1:] for values in lists if values is not None), ())
        num_frames = self.steps.shape[2]
        placed = torch.full((len(lists), num_frames, *shape), fill, dtype=dtype)
        for track, (first, values) in enumerate(zip(self.first.tolist(), lists, strict=True)):
            if values is not None:
                part = torch.tensor(values[first : first + num_frames], dtype=dtype)
                placed[track, : len(part)] = part
        missing = (self.steps[0] < 0)[(...,) + (None,) * len(shape)]
        return placed.masked_fill(missing, fill)


def frames_of(
    rows: pa.Table, clips: npt.NDArray[np.int64], steps_per_clip: int, lists: Sequence[Sequence[PerFrame]] = ()
) -> Frames:
    """Match the frames of tracks with their time steps, by the index of the frame.

    A track has the frames from the first to the last of its clips, and those that carry a label.

    Args:
        rows: R rows with ``frame_indices``, ``start_frame`` and ``stop_frame``.
        clips: (P, U, C) positions in ``rows``, -1 where there is none.
        steps_per_clip: T'.
        lists: by task, (U,) label lists: frames that say anything but :data:`IGNORE` belong to the track.
    """
    plain = clips[0]
    present, picked = plain >= 0, plain.clip(min=0)
    first: npt.NDArray[np.int64] = np.where(
        present, rows["start_frame"].to_numpy()[picked], np.iinfo(np.int64).max
    ).min(axis=1)
    stop: npt.NDArray[np.int64] = np.where(present, rows["stop_frame"].to_numpy()[picked], 0).max(axis=1)
    for of_task in lists:
        for track, labels in enumerate(of_task):
            if labels is not None and (labels != IGNORE).any():
                labelled = np.flatnonzero(labels != IGNORE)
                first[track] = min(first[track], labelled[0])
                stop[track] = max(stop[track], labelled[-1] + 1)
    lengths = (stop - first)[:, None]  # (U, 1)
    num_frames = int(lengths.max(initial=0))
    centres = step_centres(np.stack(rows["frame_indices"].to_numpy()), steps_per_clip)  # (R, T')
    places = np.arange(num_frames)
    exists = places < lengths  # (U, F)
    steps = np.empty((len(clips), len(plain), num_frames), dtype=np.int64)
    for number, of_pass in enumerate(clips):
        there = (of_pass >= 0)[..., None]
        relative = centres[of_pass.clip(min=0)] - first[:, None, None]
        of_tracks = np.where(there, relative, np.inf).reshape(len(plain), -1)  # (U, C × T')
        steps[number] = np.where(exists, nearest_steps(of_tracks, num_frames), -1)
    return Frames(first=torch.from_numpy(first), steps=torch.from_numpy(steps))


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
        centres: (U, T) in frames from the first on, in any order, ``inf`` where a track has no such step; each has
            one at least.
        num_frames: F.

    Returns:
        (U, F) indices of steps.
    """
    num_tracks, num_steps = centres.shape
    order = np.argsort(centres, axis=1, kind="stable")
    ascending = np.take_along_axis(centres, order, axis=1)
    # Frame f belongs to the k-th centre when k midpoints lie before it. One search serves all tracks: track u's
    # midpoints and frames are moved by u × (F + 1), so that the concatenation is ascending.
    midpoints = ((ascending[:, :-1] + ascending[:, 1:]) / 2).clip(-0.5, num_frames)  # (U, T − 1)
    offsets = np.arange(num_tracks)[:, None] * (num_frames + 1.0)
    frames = np.arange(num_frames)[None, :] + offsets
    before = np.searchsorted((midpoints + offsets).ravel(), frames.ravel(), side="left").reshape(frames.shape)
    rank = before - np.arange(num_tracks)[:, None] * (num_steps - 1)
    return np.take_along_axis(order, rank, axis=1)
