"""What a challenge is to an evaluation: how its tasks are known, the files that it wants, and what it measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fouls.heads.predictions import Predictions
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """One challenge."""

    recognises: Callable[[Sequence[Task]], bool]
    """Whether a run's tasks are the challenge's, by the names of their classes."""
    files: Callable[[Sequence[Predictions], str], dict[str, bytes]]
    """From the predictions of a split, and its name: file name → content."""
    scores: Callable[[Sequence[Predictions]], dict[str, float] | None]
    """What the challenge measures, in percent, as far as labels tell; ``None`` without labels."""
    measure: str
    """Which of these scores decides."""
