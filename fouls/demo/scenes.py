"""What the demo's videos show: one chequered disc, with a colour and a motion, seen by two cameras."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

HUES = {"red": 0.0, "yellow": 0.15, "green": 0.36, "blue": 0.62}
"""Classes of the task ``colour``, with the hue around which a disc's own varies."""
MOTIONS = ("still", "approach", "recede", "pulse")
"""Classes of the task ``motion``: at rest, ever larger, ever smaller, larger and smaller by turns. One frame does not
tell them apart; ``approach`` and ``recede`` even have all their frames in common, in the other order."""
CAMERAS = {"close-up": 1.0, "wide": 0.75}
"""Views of a sample, and their zoom."""

SIZE = 96
NUM_FRAMES = 32
FPS = 16


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that happens in one sample; what is not its class is left to chance."""

    colour: str
    motion: str
    rgb: tuple[float, float, float]
    background: tuple[float, float, float]
    centre: tuple[float, float]
    tilt: float
    """Of the chequers, radians."""
    speed: float
    """How far the disc grows and shrinks: 1 is by 35 %."""
    radius: float
    """Pixels, half way."""
    noise_seed: int

    @classmethod
    def draw(cls, colour: str, motion: str, rng: np.random.Generator) -> Self:
        """A scene of two classes, the rest at random."""
        hue = (HUES[colour] + rng.uniform(-0.05, 0.05)) % 1
        grey = rng.uniform(40, 160)
        red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(0.55, 1), rng.uniform(0.55, 1))
        return cls(
            colour=colour,
            motion=motion,
            rgb=(255 * red, 255 * green, 255 * blue),
            background=(grey + rng.uniform(-25, 25), grey + rng.uniform(-25, 25), grey + rng.uniform(-25, 25)),
            centre=(SIZE * rng.uniform(0.38, 0.62), SIZE * rng.uniform(0.38, 0.62)),
            tilt=rng.uniform(0, np.pi),
            speed=rng.uniform(0.8, 1.2),
            radius=SIZE * rng.uniform(0.22, 0.3),
            noise_seed=int(rng.integers(2**31)),
        )

    def frames(self, zoom: float) -> Iterator[npt.NDArray[np.uint8]]:
        """The frames that a camera sees, uint8 (SIZE, SIZE, 3)."""
        rng = np.random.default_rng([self.noise_seed, int(100 * zoom)])
        y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        for progress in np.linspace(0, 1, NUM_FRAMES):
            scale = zoom * self._scale(float(progress))
            along_x, along_y = (x - self.centre[0]) / scale, (y - self.centre[1]) / scale
            u = along_x * np.cos(self.tilt) + along_y * np.sin(self.tilt)
            v = along_y * np.cos(self.tilt) - along_x * np.sin(self.tilt)
            inside = np.hypot(along_x, along_y) < self.radius
            bright = np.sin(0.4 * u) * np.sin(0.4 * v) > 0
            disc = np.where(bright[..., None], self.rgb, 0.35 * np.asarray(self.rgb))
            picture = np.where(inside[..., None], disc, self.background) + rng.normal(0, 4, (SIZE, SIZE, 1))
            yield np.clip(picture, 0, 255).astype(np.uint8)

    def _scale(self, progress: float) -> float:
        """The size of the disc, 1 half way, at 0 … 1 of the video."""
        swing = {
            "still": 0.0,
            "approach": 2 * progress - 1,
            "recede": 1 - 2 * progress,
            "pulse": float(np.sin(4 * np.pi * progress)),
        }[self.motion]
        return 1 + 0.35 * self.speed * swing
