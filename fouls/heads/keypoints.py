"""Keypoints: regressed beside the tasks, and turned into features of the pose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fouls.errors import ConfigError
from fouls.heads.batch import InputForm
from fouls.heads.dropout import Dropout

PoseKind = Literal["mouse", "coordinates"]

MIN_LIKELIHOOD = 0.9
"""A keypoint that is less likely than this counts as missing."""

MOUSE_KEYPOINTS = ("mouth", "tail_base", "L_frontpaw", "R_frontpaw", "L_hindpaw", "R_hindpaw")
MOUSE_EDGES = ((0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 4), (3, 5), (2, 3))
MOUSE_ANGLES = (
    *((1, 0, 2), (1, 0, 3), (0, 1, 4), (0, 1, 5), (0, 2, 4)),
    *((0, 3, 5), (1, 2, 4), (1, 3, 5), (2, 0, 3), (4, 1, 5)),
)
"""(centre, a, b): the angle at the first keypoint between the directions to the others."""


def check_keypoints(form: InputForm) -> None:
    """Refuse to regress keypoints that are not there.

    Raises:
        ConfigError: so it is.
    """
    if not form.num_keypoints:
        raise ConfigError("keypoints are to be regressed, but the manifest has none (column frame_keypoints)")


class KeypointOutput(nn.Module):
    """Linear 256 → GELU → dropout → Linear 2K → sigmoid, the keypoint output of the mouse TCN."""

    def __init__(self, dim: int, num_keypoints: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, 256), nn.GELU(), Dropout(0.2), nn.Linear(256, 2 * num_keypoints), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """From (…, H) to (…, K, 2): x and y as shares of width and height."""
        flat: Tensor = self.layers(x)
        return flat.reshape(*flat.shape[:-1], -1, 2)


def visible(keypoints: Tensor) -> Tensor:
    """Which keypoints count, (…, K) bool, of (…, K, 3): those whose place is known and that are likely enough."""
    return (keypoints[..., 2] >= MIN_LIKELIHOOD) & keypoints[..., :2].isfinite().all(dim=-1)


def pose_features(keypoints: Tensor, kind: PoseKind, names: Sequence[str]) -> Tensor:
    """Features of the pose in every frame.

    ``mouse``: the 8 lengths of edges and 10 angles in radians of the mouse TCN, on coordinates that are shares of
    width and height; what needs a keypoint that is missing is 0. ``coordinates``: x and y of every keypoint, 0 where
    it is missing.

    Args:
        keypoints: (…, K, 3): x, y, likelihood.
        kind: which features.
        names: the K names.

    Returns:
        (…, 18), or (…, 2 K).

    Raises:
        ConfigError: kind ``mouse`` for other keypoints.
    """
    seen = visible(keypoints)
    points = keypoints[..., :2].masked_fill(~seen[..., None], 0.0)
    if kind == "coordinates":
        return points.flatten(-2)
    if tuple(names) != MOUSE_KEYPOINTS:
        raise ConfigError(
            f"pose 'mouse' needs the keypoints {', '.join(MOUSE_KEYPOINTS)}; the manifest has {', '.join(names)}: take "
            "--pose coordinates"
        )
    starts, ends = torch.tensor(MOUSE_EDGES, device=points.device).T
    lengths = (points[..., starts, :] - points[..., ends, :]).norm(dim=-1)
    centre, a, b = torch.tensor(MOUSE_ANGLES, device=points.device).T
    to_a, to_b = points[..., a, :] - points[..., centre, :], points[..., b, :] - points[..., centre, :]
    cross = to_a[..., 0] * to_b[..., 1] - to_a[..., 1] * to_b[..., 0]
    angles = torch.atan2(cross.abs(), (to_a * to_b).sum(dim=-1))  # in [0, π], exact at both ends
    has_edge = seen[..., starts] & seen[..., ends]
    has_angle = seen[..., centre] & seen[..., a] & seen[..., b]
    return torch.cat([lengths.masked_fill(~has_edge, 0.0), angles.masked_fill(~has_angle, 0.0)], dim=-1)
