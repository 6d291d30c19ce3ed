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
MOTIONS = ("still", "slide", "shake", "turn")
"""Classes of the task ``motion``: at rest, one way across, to and fro, about its centre."""
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
    direction: float
    """Of a motion, radians."""
    tilt: float
    """Of the chequers at the start, radians."""
    speed: float
    radius: float
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
            direction=rng.uniform(0, 2 * np.pi),
            tilt=rng.uniform(0, np.pi),
            speed=rng.uniform(0.8, 1.2),
            radius=SIZE * rng.uniform(0.26, 0.33),
            noise_seed=int(rng.integers(2**31)),
        )

    def frames(self, zoom: float) -> Iterator[npt.NDArray[np.uint8]]:
        """The frames that a camera sees, uint8 (SIZE, SIZE, 3)."""
        rng = np.random.default_rng([self.noise_seed, int(100 * zoom)])
        y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        for progress in np.linspace(0, 1, NUM_FRAMES):
            shift, turn = self._pose(float(progress))
            along_x = (x - self.centre[0] - shift * np.cos(self.direction)) / zoom
            along_y = (y - self.centre[1] - shift * np.sin(self.direction)) / zoom
            u = along_x * np.cos(turn) + along_y * np.sin(turn)
            v = along_y * np.cos(turn) - along_x * np.sin(turn)
            inside = np.hypot(along_x, along_y) < self.radius
            bright = np.sin(0.4 * u) * np.sin(0.4 * v) > 0
            disc = np.where(bright[..., None], self.rgb, 0.35 * np.asarray(self.rgb))
            picture = np.where(inside[..., None], disc, self.background) + rng.normal(0, 4, (SIZE, SIZE, 1))
            yield np.clip(picture, 0, 255).astype(np.uint8)

    def _pose(self, progress: float) -> tuple[float, float]:
        """Shift along the direction, pixels, and the chequers' angle, radians, at 0 … 1 of the video."""
        if self.motion == "slide":
            return SIZE * 0.56 * self.speed * (progress - 0.5), self.tilt
        if self.motion == "shake":
            return SIZE * 0.19 * self.speed * float(np.sin(6 * np.pi * progress)), self.tilt
        if self.motion == "turn":
            return 0.0, self.tilt + 2 * np.pi * self.speed * progress
        return 0.0, self.tilt
