"""What a user can say of augmented passes, and how it is resolved into a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fouls.cache.spec import AugmentationSpec, Jitter, SamplingKind
from fouls.errors import ConfigError

MAX_SHIFT = 8
"""Native frames by which an augmented clip begins earlier or later at most: a third of a second at 25 fps."""


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """Augmented passes beside the plain one."""

    passes: int
    seed: int = 0
    scale: tuple[float, float] = (0.5, 1.0)
    """Area of the random box by that of the frame; half of it at least keeps in the picture what is labelled."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width by height of the random box."""
    flip: float = 0.5
    """Probability that a clip is mirrored left to right."""
    max_shift: int | None = None
    """Native frames by which a clip begins earlier or later at most; 0: the frames of the plain pass. ``None``:
    :data:`MAX_SHIFT`; with sampling ``uniform`` a random frame of each segment instead."""

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ConfigError(f"--augment is {self.passes}; it must be 1 or more, or left out")
        if self.max_shift is not None and self.max_shift < 0:
            raise ConfigError(f"--augment-shift is {self.max_shift}; it must be 0 or more")

    def resolve(self, sampling: SamplingKind) -> AugmentationSpec:
        """What decides the values: all but the number of passes.

        Raises:
            ConfigError: a value out of range, or one that the sampling does not read.
        """
        jitter, max_shift = self._resolve_jitter(sampling)
        return AugmentationSpec(
            seed=self.seed,
            scale=(float(self.scale[0]), float(self.scale[1])),
            ratio=(float(self.ratio[0]), float(self.ratio[1])),
            flip=float(self.flip),
            jitter=jitter,
            max_shift=max_shift,
        )

    def _resolve_jitter(self, sampling: SamplingKind) -> tuple[Jitter, int | None]:
        if self.max_shift == 0:
            return "none", None
        if sampling != "uniform":
            return "shift", self.max_shift or MAX_SHIFT
        if self.max_shift is not None:
            raise ConfigError(
                f"--augment-shift is {self.max_shift}; sampling 'uniform' takes a random frame of each segment: leave "
                "it out, or give 0 for the frames of the plain pass"
            )
        return "segments", None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """From JSON types, whose tuples are lists."""
        return cls(**{**plain, "scale": tuple(plain["scale"]), "ratio": tuple(plain["ratio"])})
