"""Several labels a sample, beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from fouls.heads.metrics import score_multi_label


def test_it_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((300, 6)) < [0.5, 0.3, 0.2, 0.1, 0.4, 0.0]  # the last never occurs
    probabilities = np.clip(0.3 * rng.standard_normal((300, 6)) + 0.5 * targets + 0.2, 0, 1)
    probabilities[:, 3] = 0.49  # never predicted
    scores = score_multi_label(torch.from_numpy(probabilities), torch.from_numpy(targets))
    decided = probabilities >= 0.5
    expected = sk.precision_recall_fscore_support(targets, decided, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(np.array(scores["per_class"][name], dtype=float), values, err_msg=name)
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(targets, decided, average="macro", zero_division=np.nan))
    assert scores["micro_f1"] == pytest.approx(sk.f1_score(targets, decided, average="micro"))
    assert scores["mean_average_precision"] == pytest.approx(
        sk.average_precision_score(targets[:, :5], probabilities[:, :5], average="macro")
    )
    assert scores["per_class"]["average_precision"][5] is None
    assert scores["labelled"] == 300


def test_nothing_there_and_nothing_predicted_is_none() -> None:
    scores = score_multi_label(np.full((4, 2), 0.1), np.zeros((4, 2)))
    assert (scores["macro_f1"], scores["micro_f1"], scores["mean_average_precision"]) == (None, None, None)
    assert scores["per_class"]["support"] == [0, 0]
