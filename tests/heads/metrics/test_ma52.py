"""``F1_mean`` beside scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from fouls.errors import ConfigError
from fouls.heads.metrics import ma52_scores


def coarse(fine: np.ndarray) -> np.ndarray:
    """0–4 → 0, 5–10 → 1, 11–23 → 2, 24–31 → 3, 32–37 → 4, 38–47 → 5, 48–51 → 6."""
    return np.digitize(fine, [5, 11, 24, 32, 38, 48])


def scikit_learns(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    parts = {
        f"{level}_{average}_f1": f1_score(*labels, average=average)
        for level, labels in (("fine", (truth, prediction)), ("coarse", (coarse(truth), coarse(prediction))))
        for average in ("macro", "micro")
    }
    return {"F1_mean": sum(parts.values()) / 4, **parts}


def blurred(truth: np.ndarray) -> np.ndarray:
    """Predictions that are half right; the others are near, which is often the same coarse class."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(len(truth)) < 0.5, truth, (truth + rng.integers(1, 6, len(truth))) % 52)


@pytest.mark.parametrize("classes", [52, 20])
def test_it_is_scikit_learns(classes: int) -> None:
    truth = np.random.default_rng(1).integers(0, classes, 400)  # with 20, only some classes occur
    scores, expected = ma52_scores(truth, blurred(truth)), scikit_learns(truth, blurred(truth))
    assert list(scores) == ["F1_mean", "fine_macro_f1", "fine_micro_f1", "coarse_macro_f1", "coarse_micro_f1"]
    assert scores == pytest.approx(expected, abs=1e-12)
    assert scores["coarse_micro_f1"] > scores["fine_micro_f1"] + 0.1


def test_the_real_labels(shared: Path) -> None:
    lines = (shared / "ma52" / "val_list_videos.txt").read_text().splitlines()
    truth = np.array([int(line.split()[-1]) for line in lines])
    assert len(truth) == 5586
    assert ma52_scores(truth, blurred(truth)) == pytest.approx(scikit_learns(truth, blurred(truth)), abs=1e-12)
    assert set(ma52_scores(truth, truth).values()) == {1.0}


def test_what_is_not_labelled_does_not_count() -> None:
    truth = np.arange(52)
    with_missing = np.where(truth % 2 == 0, truth, -1)
    assert ma52_scores(with_missing, blurred(truth)) == ma52_scores(truth[::2], blurred(truth)[::2])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([1, 52], [1, 2], "class 52: MA-52 has the classes 0 to 51"),
        ([1, 2], [1, -1], "class -1"),
        ([-1, -1], [1, 2], "no labels"),
        ([1, 2], [1], "give one of each"),
    ],
)
def test_what_can_not_be_measured_is_refused(truth: list[int], prediction: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ma52_scores(truth, prediction)
