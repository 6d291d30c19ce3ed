"""How far keypoints lie off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError


def keypoint_mae(predicted: npt.ArrayLike, truth: npt.ArrayLike, visible: npt.ArrayLike) -> float | None:
    """Mean absolute error of the coordinates of visible keypoints, in the units that they are given in.

    Args:
        predicted: (N, K, 2)
        truth: (N, K, 2); what stands at keypoints that are not visible, NaN even, does not matter.
        visible: (N, K) bool, or 0 and 1.

    Returns:
        Mean over visible keypoints and both coordinates; ``None`` where none is visible.

    Raises:
        ConfigError: the shapes don't fit.
    """
    ours, theirs, seen = np.asarray(predicted), np.asarray(truth), np.asarray(visible, dtype=bool)
    if ours.shape != theirs.shape or ours.shape != (*seen.shape, 2):
        raise ConfigError(
            f"keypoints of shapes {ours.shape} and {theirs.shape} with visibility {seen.shape}; needed: (N, K, 2) "
            "twice and (N, K)"
        )
    if not seen.any():
        return None
    return float(np.abs(ours[seen].astype(np.float64) - theirs[seen]).mean())
