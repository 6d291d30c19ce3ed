"""Samples in memory: every row's features once, and index arrays that gather them into padded batches.

A *track* is one series of time steps: one view in one crop; its steps are the clips in order where the sampling is
``dense``, else one clip makes one track. ``temporal`` pools give every clip T' steps. A sample has V tracks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from fouls.heads.frames import FrameLabels

PADDING = -1
"""What index arrays hold where there is nothing."""

_CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Samples:
    """S samples with U tracks of C clips, from R rows."""

    values: Tensor
    """(R, T', D), float16 or float32: the features, each row once."""
    clips: Tensor
    """(U, C) int64: the rows of each track, in time; :data:`PADDING` after the last."""
    tracks: Tensor
    """(S, V) int64: the tracks of each sample; :data:`PADDING` after the last."""
    sample_ids: npt.NDArray[np.object_]
    """(S,)"""
    video_ids: npt.NDArray[np.object_]
    """(U,): the video that each track is from."""
    splits: npt.NDArray[np.object_]
    """(S,); empty strings where no split is known."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """Task → (S,) int64 class indices, -1 where there is none."""
    frame_labels: dict[str, FrameLabels] = field(default_factory=dict)
    """Task with a label a frame → the labels of the U tracks' frames."""

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def dim(self) -> int:
        """D, the width of a feature."""
        return self.values.shape[2]

    @property
    def num_steps(self) -> int:
        """T, the time steps of the longest track."""
        return self.clips.shape[1] * self.values.shape[1]

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The padded form of some samples.

        Args:
            indices: (B,) int64.

        Returns:
            x (B, V, T, D) float32 and its mask (B, V, T) bool. What stands in x where the mask is false is
            arbitrary. T is that of the longest track among these samples.
        """
        tracks = self.tracks[indices]  # (B, V)
        clips = self.clips[tracks.clamp(min=0)].masked_fill(tracks[..., None] < 0, PADDING)  # (B, V, C)
        if clips.shape[2] > 1:
            longest = int((clips >= 0).sum(dim=2).max())
            clips = clips[:, :, :longest]
        return self._steps(clips)

    def map_tracks(self, function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Samples:
        """The samples after a function of single tracks that makes one step of each: applied once, then kept.

        Args:
            function: from x (N, T, D) float32 and mask (N, T) to the same with T = 1.
        """
        values = torch.cat([function(*self._steps(clips))[0] for clips in self._track_chunks()])  # (U, 1, D')
        clips = torch.arange(len(values), device=values.device)[:, None]
        return dataclasses.replace(self, values=values, clips=clips)

    def track_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All tracks that samples refer to, in chunks: x (N, T, D) float32 and mask (N, T)."""
        for clips in self._track_chunks(self.tracks[self.tracks >= 0]):
            yield self._steps(clips)

    def select(self, indices: npt.NDArray[np.int64]) -> Samples:
        """Some of the samples; the features stay shared."""
        positions = torch.from_numpy(indices).to(self.tracks.device)
        return dataclasses.replace(
            self,
            tracks=self.tracks[positions],
            sample_ids=self.sample_ids[indices],
            splits=self.splits[indices],
            labels={task: labels[positions] for task, labels in self.labels.items()},
        )

    def to(self, device: torch.device) -> Samples:
        """The samples with all tensors on a device."""
        return dataclasses.replace(
            self,
            values=self.values.to(device),
            clips=self.clips.to(device),
            tracks=self.tracks.to(device),
            labels={task: labels.to(device) for task, labels in self.labels.items()},
            frame_labels={task: labels.to(device) for task, labels in self.frame_labels.items()},
        )

    def _steps(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """From row indices (…, C) to steps (…, C × T', D) and their mask (…, C × T')."""
        per_clip, dim = self.values.shape[1:]
        x = self.values[clips.clamp(min=0)].float()  # (…, C, T', D)
        mask = (clips >= 0)[..., None].expand(*clips.shape, per_clip)
        return x.reshape(*clips.shape[:-1], -1, dim), mask.reshape(*clips.shape[:-1], -1)

    def _track_chunks(self, tracks: Tensor | None = None) -> tuple[Tensor, ...]:
        clips = self.clips if tracks is None else self.clips[tracks]
        track_bytes = clips.shape[1] * self.values.shape[1] * self.dim * 4
        return torch.split(clips, max(1, _CHUNK_BYTES // track_bytes))


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which rows make which tracks, and which tracks which samples."""

    clips: npt.NDArray[np.int64]
    """(U, C) positions in the table of rows."""
    tracks: npt.NDArray[np.int64]
    """(S, V)"""


def group_rows(rows: pa.Table, *, clips_are_steps: bool) -> Grouping:
    """Group rows to tracks and samples, both in the order in which they first stand in the table.

    Args:
        rows: a row index with ``sample_id, video_id, view, clip, crop``.
        clips_are_steps: the clips of one video are the time steps of one track (sampling ``dense`` or ``stream``).
    """
    sample, video = _codes(rows["sample_id"]), _codes(rows["video_id"])
    view, clip, crop = (rows[name].to_numpy().astype(np.int64) for name in ("view", "clip", "crop"))
    track_keys = [sample, view, video, crop] if clips_are_steps else [sample, view, video, clip, crop]
    order = np.lexsort((clip, *reversed(track_keys)))  # by track, then in time
    changes = np.zeros(len(order), dtype=bool)
    for key in track_keys:
        changes[1:] |= np.diff(key[order]) != 0
    track_of_row = np.cumsum(changes)
    clips = pad_groups(track_of_row, order)
    sample_of_track = sample[clips[:, 0]] if len(clips) else sample
    return Grouping(clips=clips, tracks=pad_groups(sample_of_track, np.arange(len(clips))))


def pad_groups(groups: npt.NDArray[np.int64], members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
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


def samples_from_rows(values: npt.NDArray[np.floating], rows: pa.Table, *, clips_are_steps: bool) -> Samples:
    """Samples without labels, from features and their rows.

    Args:
        values: (R, T', D)
        rows: the R rows, see :func:`group_rows`.
        clips_are_steps: sampling ``dense`` or ``stream``.
    """
    grouping = group_rows(rows, clips_are_steps=clips_are_steps)
    sample_ids, video_ids = (rows[name].to_numpy().astype(object) for name in ("sample_id", "video_id"))
    first_rows = grouping.clips[:, 0]
    return Samples(
        values=torch.from_numpy(values),
        clips=torch.from_numpy(grouping.clips),
        tracks=torch.from_numpy(grouping.tracks),
        sample_ids=sample_ids[first_rows[grouping.tracks[:, 0]]],
        video_ids=video_ids[first_rows],
        splits=np.full(len(grouping.tracks), "", dtype=object),
    )


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Values as numbers, in the order of their first appearance."""
    codes: npt.NDArray[np.int64] = pc.dictionary_encode(column).combine_chunks().indices.to_numpy().astype(np.int64)
    return codes
