"""Keypoint error by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fouls.errors import ConfigError
from fouls.heads.metrics import keypoint_mae


def test_only_visible_keypoints_count() -> None:
    predicted = np.zeros((2, 2, 2), dtype=np.float32)
    truth = np.array([[[3.0, -4.0], [100.0, 100.0]], [[np.nan, np.nan], [1.0, 0.0]]])
    visible = [[1, 0], [0, 1]]
    assert keypoint_mae(predicted, truth, visible) == pytest.approx((3 + 4 + 1 + 0) / 4)
    assert keypoint_mae(predicted, truth, np.zeros((2, 2))) is None


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"needed: \(N, K, 2\) twice and \(N, K\)"):
        keypoint_mae(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), np.zeros((2, 2)))
