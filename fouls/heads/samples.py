"""Samples in memory: every row's features once, and index arrays that gather them into padded batches.

A *track* is one series of time steps: one view in one crop; its steps are the clips in order where the sampling is
``dense``, else one clip makes one track. ``temporal`` pools give every clip T' steps. A sample has V tracks. A *pass*
is one draw of the augmentation; pass 0 is the plain one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from fouls.heads.batch import UNKNOWN_KIND, Batch
from fouls.heads.frames import Frames
from fouls.heads.grouping import PADDING, group_rows
from fouls.heads.memory import fits

_CHUNK_BYTES = 64 * 2**20
_BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Samples:
    """S samples with U tracks of C clips in P passes, from R rows."""

    values: Tensor
    """(R, T', D), float16 or float32, or what :meth:`standardise` made: the features, each row once."""
    clips: Tensor
    """(P, U, C) int64: the rows of each track, in time; :data:`PADDING` after the last."""
    tracks: Tensor
    """(S, V) int64: the tracks of each sample; :data:`PADDING` after the last."""
    sample_ids: npt.NDArray[np.object_]
    """(S,)"""
    video_ids: npt.NDArray[np.object_]
    """(U,): the video that each track is from."""
    splits: npt.NDArray[np.object_]
    """(S,); empty strings where no split is known."""
    view_kinds: Tensor
    """(U,) int64, see :mod:`fouls.heads.batch`."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """Task → (S,) int64 class indices, -1 where there is none; of a multi-label task (S, classes), 1, 0 or -1."""
    frames: Frames | None = None
    """The native frames of the tracks, where something is known of frames."""
    frame_labels: dict[str, Tensor] = field(default_factory=dict)
    """Task with a label a frame → (U, F) int64 class indices, -1 where there is none."""
    keypoints: Tensor | None = None
    """(U, F, K, 3) float32: x and y as shares of width and height, and likelihood; NaN where unknown."""
    pose: Tensor | None = None
    """(U, F, P') float32: features of the pose in every frame. Where it is there, the time steps are native frames."""
    standardised: bool = False
    """The features went through :meth:`standardise`."""

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def num_passes(self) -> int:
        """P, the plain pass and the augmented ones."""
        return len(self.clips)

    @property
    def num_steps(self) -> int:
        """T, the time steps of the longest track."""
        if self.pose is not None:
            return self.pose.shape[1]
        return self.clips.shape[2] * self.values.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.tracks.device

    def gather(self, indices: Tensor, passes: Tensor | None = None) -> Batch:
        """Some samples as a batch.

        Args:
            indices: (B,) int64.
            passes: (B,) int64, the pass to take of each; ``None``: the plain one.

        Returns:
            The batch; T is that of the longest track among these samples.
        """
        tracks = self.tracks.index_select(0, indices)  # (B, V)
        present = tracks >= 0
        places = torch.nonzero(present.flatten())[:, 0]  # (N,)
        picked = tracks.flatten().index_select(0, places)  # (N,)
        of_pass = None if passes is None else passes.index_select(0, places // tracks.shape[1])
        clips = self.clips[0].index_select(0, picked) if of_pass is None else self.clips[of_pass, picked]  # (N, C)
        if clips.shape[1] > 1:
            clips = clips[:, : int((clips >= 0).sum(dim=1).max())]
        x, steps = self._steps(clips)
        if self.pose is not None and self.frames is not None:
            of_frames = self.frames.steps_of(picked, of_pass)  # (N, F)
            steps = of_frames >= 0
            at = of_frames.clamp(min=0)[..., None].expand(-1, -1, x.shape[-1])
            x = torch.cat([x.gather(1, at), self.pose[picked]], dim=-1)
        view_kinds = self.view_kinds.index_select(0, tracks.clamp(min=0).flatten()).view_as(tracks)
        return Batch.packed(
            tracks=x,
            steps=steps,
            present=present,
            places=places,
            view_kinds=view_kinds,
            standardised=self.standardised,
        )

    def standardise(self, mean: Tensor, std: Tensor, dtype: torch.dtype) -> Samples:
        """The samples after (x − mean) / std, computed once, with features of their own: the rows that they refer to.

        Args:
            mean: (D,)
            std: (D,)
            dtype: in which the features are kept.
        """
        used = torch.zeros(len(self.values) + 1, dtype=torch.bool, device=self.device)
        used[self.clips[:, self.tracks[self.tracks >= 0]].flatten()] = True  # padding falls on the last
        used[-1] = False
        rows = torch.nonzero(used)[:, 0]
        place = torch.full((len(used),), PADDING, device=self.device)
        place[rows] = torch.arange(len(rows), device=self.device)
        values = torch.empty(len(rows), *self.values.shape[1:], dtype=dtype, device=self.values.device)
        for start in range(0, len(rows), self._rows_a_chunk):
            some = slice(start, start + self._rows_a_chunk)
            values[some] = (self._rows(rows[some]).float() - mean) / std
        return dataclasses.replace(self, values=values, clips=place[self.clips], standardised=True)

    def map_tracks(self, function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Samples:
        """The samples after a function of single tracks that leaves fewer steps: applied once, then kept.

        Args:
            function: from x (N, C × T', D) float32 and mask to the same with one step, or with C × T", where every
                clip has as many.
        """
        chunks = self._chunks(self.clips.flatten(0, 1))
        values = torch.cat([function(*self._steps(clips))[0] for clips in chunks])  # (P × U, 1 or C × T", D')
        gone = self.clips[..., : values.shape[1]] < 0  # of one step nothing: every track has a first clip
        values = values.reshape(gone.numel(), -1, values.shape[2])  # (P × U × C, T", D')
        clips = torch.arange(len(values), device=values.device).reshape(gone.shape).masked_fill(gone, PADDING)
        return dataclasses.replace(self, values=values, clips=clips)

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Batch]]:
        """All samples in order: indices (B,) and what :meth:`gather` gives, in batches that memory holds."""
        sample_bytes = self.tracks.shape[1] * self.num_steps * self.values.shape[2] * 4
        batch_size = min(batch_size, max(1, _BATCH_BYTES // sample_bytes))
        for indices in torch.split(torch.arange(len(self), device=self.device), batch_size):
            yield indices, self.gather(indices)

    def track_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All tracks that samples refer to, plain pass, in chunks: x (N, T, D) float32 and mask (N, T)."""
        if self.pose is not None:
            for _, batch in self.batches(1024):
                yield batch.tracks, batch.steps
            return
        for clips in self._chunks(self.clips[0, self.tracks[self.tracks >= 0]]):
            yield self._steps(clips)

    def select(self, indices: npt.NDArray[np.int64]) -> Samples:
        """Some of the samples; the features stay shared."""
        positions = torch.from_numpy(indices).to(self.device)
        return dataclasses.replace(
            self,
            tracks=self.tracks[positions],
            sample_ids=self.sample_ids[indices],
            splits=self.splits[indices],
            labels={task: labels[positions] for task, labels in self.labels.items()},
        )

    def to(self, device: torch.device) -> Samples:
        """The samples with all tensors on a device; features that it does not hold stay where they are."""
        return dataclasses.replace(
            self,
            values=self.values.to(device) if fits(self.values.nbytes, device) else self.values,
            clips=self.clips.to(device),
            tracks=self.tracks.to(device),
            view_kinds=self.view_kinds.to(device),
            labels={task: labels.to(device) for task, labels in self.labels.items()},
            frames=None if self.frames is None else self.frames.to(device),
            frame_labels={task: labels.to(device) for task, labels in self.frame_labels.items()},
            keypoints=None if self.keypoints is None else self.keypoints.to(device),
            pose=None if self.pose is None else self.pose.to(device),
        )

    def _steps(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """From row indices (…, C) to steps (…, C × T', D) and their mask (…, C × T')."""
        per_clip, dim = self.values.shape[1:]
        x = self._rows(clips.flatten().clamp(min=0))  # (… × C, T', D)
        x = x if self.standardised else x.float()
        mask = (clips >= 0)[..., None].expand(*clips.shape, per_clip)
        return x.reshape(*clips.shape[:-1], -1, dim), mask.reshape(*clips.shape[:-1], -1)

    def _rows(self, rows: Tensor) -> Tensor:
        """Some rows (n, T', D), in the stored dtype, on the device of the samples."""
        return self.values.index_select(0, rows.to(self.values.device)).to(rows.device)

    @property
    def _rows_a_chunk(self) -> int:
        """How many rows are worked on at once."""
        return max(1, _CHUNK_BYTES // (4 * self.values[:1].numel()))

    def _chunks(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Tracks (n, C), some at a time."""
        return torch.split(clips, max(1, self._rows_a_chunk // clips.shape[1]))


def samples_from_rows(values: npt.NDArray[np.floating], rows: pa.Table, *, clips_are_steps: bool) -> Samples:
    """Samples without labels, from features and their rows.

    Args:
        values: (R, T', D)
        rows: the R rows, see :func:`fouls.heads.grouping.group_rows`.
        clips_are_steps: sampling ``dense`` or ``stream``.
    """
    grouping = group_rows(rows, clips_are_steps=clips_are_steps)
    sample_ids, video_ids = (rows[name].to_numpy().astype(object) for name in ("sample_id", "video_id"))
    first_rows = grouping.clips[0, :, 0]
    return Samples(
        values=torch.from_numpy(values),
        clips=torch.from_numpy(grouping.clips),
        tracks=torch.from_numpy(grouping.tracks),
        sample_ids=sample_ids[first_rows[grouping.tracks[:, 0]]],
        video_ids=video_ids[first_rows],
        splits=np.full(len(grouping.tracks), "", dtype=object),
        view_kinds=torch.full((len(first_rows),), UNKNOWN_KIND),
    )
