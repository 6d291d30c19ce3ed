"""What docs/metrics.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SEGMENTS, THRESHOLDS = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(), flags=re.M | re.S
)


def test_the_segments(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    exec(SEGMENTS.replace("segmentation_scores(truths", "scores = segmentation_scores(truths"), scope)
    # edit: the first video has "run hit" on both sides, the second "run" and "run run"
    assert scope["scores"]["accuracy"] == pytest.approx(100 * 5 / 7)
    assert scope["scores"]["edit"] == pytest.approx(100 * (1 + 1 / 2) / 2)


def test_the_thresholds() -> None:
    rng = np.random.default_rng(0)
    scope: dict[str, Any] = {
        "valid_probabilities": rng.dirichlet(np.ones(3), 50),
        "valid_labels": rng.integers(0, 3, 50),
        "test_probabilities": rng.dirichlet(np.ones(3), 20),
    }
    exec(THRESHOLDS, scope)
    assert scope["thresholds"].shape == (3,)
    assert scope["classes"].shape == (20,)
