"""What goes into a head and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

LIVE, REPLAY, UNKNOWN_KIND = 0, 1, 2
"""Kinds of views, by the manifest's ``replay_speed``: 1 is live, anything else a replay, null unknown."""
NUM_VIEW_KINDS = 3


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """The form of the features that a head is built for."""

    widths: tuple[int, ...]
    """D of each store, concatenated in this order; the last may be the pose's."""
    num_steps: int = 1
    """T, the time steps of the longest track."""
    tokens: bool = False
    """The steps of a clip are tokens, places in space and time."""
    grid: tuple[int, int, int] | None = None
    """(T', H, W) of the tokens of a clip, where that is known; time varies slowest."""
    num_keypoints: int = 0
    """K of the manifest, 0 where it has none."""
    pose_width: int = 0
    """P: the last P of the D features are a frame's pose, and time steps are native frames."""

    @property
    def dim(self) -> int:
        """D, the width of a feature."""
        return sum(self.widths)


class Batch:
    """B samples of V tracks of T time steps, in two forms; each is made of the other when it is asked for.

    Padded: ``x`` and ``mask``. Packed: ``tracks`` and ``steps``, the N tracks that are there, sample by sample. What
    stands in ``x`` or ``tracks`` where ``mask`` or ``steps`` is false is arbitrary, and must never change a result.

    Attributes:
        view_kinds: (B, V) int64: :data:`LIVE`, :data:`REPLAY` or :data:`UNKNOWN_KIND`.
        standardised: whether the features went through the head's standardisation already.
    """

    def __init__(self, *, x: Tensor, mask: Tensor, view_kinds: Tensor, standardised: bool = False) -> None:
        """A padded batch.

        Args:
            x: (B, V, T, D) float32
            mask: (B, V, T) bool; of a track that is there, one step at least.
            view_kinds: (B, V)
            standardised: see above.
        """
        self.x, self.mask = x, mask
        self.view_kinds = view_kinds
        self.standardised = standardised

    @classmethod
    def packed(
        cls,
        *,
        tracks: Tensor,
        steps: Tensor,
        present: Tensor,
        view_kinds: Tensor,
        places: Tensor | None = None,
        standardised: bool = False,
    ) -> Self:
        """A packed batch.

        Args:
            tracks: (N, T, D), float32, or bfloat16 where products are to be computed in it.
            steps: (N, T) bool, true somewhere in every row.
            present: (B, V) bool, N of them true.
            view_kinds: (B, V)
            places: see :attr:`places`; ``None``: found when it is asked for.
            standardised: see above.
        """
        batch = cls.__new__(cls)
        if places is not None:
            batch.places = places
        batch.tracks, batch.steps, batch.present = tracks, steps, present
        batch.view_kinds = view_kinds
        batch.standardised = standardised
        return batch

    def __len__(self) -> int:
        return len(self.present)

    @cached_property
    def x(self) -> Tensor:
        """(B, V, T, D)"""
        return self.unpack(self.tracks)

    @cached_property
    def mask(self) -> Tensor:
        """(B, V, T) bool: which steps are there."""
        return self.unpack(self.steps)

    @cached_property
    def present(self) -> Tensor:
        """(B, V) bool: which tracks are there."""
        return self.mask.any(dim=-1)

    @cached_property
    def tracks(self) -> Tensor:
        """(N, T, D)"""
        return self.x.flatten(0, 1)[self.places]

    @cached_property
    def steps(self) -> Tensor:
        """(N, T) bool: which steps are there."""
        return self.mask.flatten(0, 1)[self.places]

    @cached_property
    def places(self) -> Tensor:
        """(N,) int64: where each of ``tracks`` is in the B × V places."""
        return torch.nonzero(self.present.flatten())[:, 0]

    def unpack(self, tracks: Tensor) -> Tensor:
        """What belongs to the tracks (N, …) at their places (B, V, …), 0 elsewhere."""
        num_samples, num_tracks = self.present.shape
        empty = tracks.new_zeros(num_samples * num_tracks, *tracks.shape[1:])
        return empty.index_add_(0, self.places, tracks).view(num_samples, num_tracks, *tracks.shape[1:])

    def mean(self, tracks: Tensor) -> Tensor:
        """The mean over the tracks of each sample, from (N, H) to (B, H)."""
        num_samples, num_tracks = self.present.shape
        if num_tracks == 1 and len(tracks) == num_samples:
            return tracks
        sums = tracks.new_zeros(num_samples, tracks.shape[1]).index_add_(0, self.places // num_tracks, tracks)
        return sums / self.present.sum(dim=1, keepdim=True).clamp(min=1)

    def with_steps(self, x: Tensor, mask: Tensor) -> Batch:
        """The same samples with other steps, padded."""
        return Batch(x=x, mask=mask, view_kinds=self.view_kinds, standardised=self.standardised)

    def with_tracks(self, tracks: Tensor, steps: Tensor) -> Batch:
        """The same samples with other steps, packed."""
        return Batch.packed(
            tracks=tracks,
            steps=steps,
            present=self.present,
            places=self.places,
            view_kinds=self.view_kinds,
            standardised=self.standardised,
        )


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a head says beside its logits; only losses, and those who look inside, read it."""

    stages: dict[str, list[Tensor]] = field(default_factory=dict)
    """Task with a label a frame → logits of the stages before the last, (B, V, T, classes) each."""
    assisting: dict[str, Tensor] = field(default_factory=dict)
    """Task with a label a sample → logits of an assisting output at every step, (B, N, classes)."""
    assisting_mask: Tensor | None = None
    """(B, N) bool: which steps of ``assisting`` are there."""
    keypoints: Tensor | None = None
    """(B, V, T, K, 2): where the keypoints are at each step, x and y as shares of width and height."""
    view_weights: dict[str, Tensor] = field(default_factory=dict)
    """Name of a pooling → the weight that each track got, (B, V); rows add up to 1."""


class HeadOutput(NamedTuple):
    """What a head gives for a batch."""

    logits: dict[str, Tensor]
    """Task → (B, classes), or (B, V, T, classes) for a task with a label a frame."""
    extras: Extras
