"""What goes into a head and what comes out of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple

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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples, padded to V tracks of T time steps.

    What stands in ``x`` where the mask is false is arbitrary, and must never change a result.
    """

    x: Tensor
    """(B, V, T, D) float32"""
    mask: Tensor
    """(B, V, T) bool; of a track that is there, one step at least."""
    view_kinds: Tensor
    """(B, V) int64: :data:`LIVE`, :data:`REPLAY` or :data:`UNKNOWN_KIND`."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def present(self) -> Tensor:
        """Which tracks are there, (B, V) bool."""
        return self.mask.any(dim=-1)

    def with_steps(self, x: Tensor, mask: Tensor) -> Batch:
        """The same samples with other steps."""
        return dataclasses.replace(self, x=x, mask=mask)


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
