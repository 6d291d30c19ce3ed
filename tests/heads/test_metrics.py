"""Metrics beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from fouls.heads.metrics import score


def make(classes: int, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(0, classes - 1, (count,), generator=generator)  # the last class never occurs
    logits = torch.randn(count, classes, generator=generator) + 2 * torch.nn.functional.one_hot(labels, classes)
    return logits.softmax(dim=1), labels


@pytest.mark.parametrize("classes", [3, 8])
def test_scores_are_scikit_learns(classes: int) -> None:
    probabilities, labels = make(classes)
    truth, guess = labels.numpy(), probabilities.argmax(dim=1).numpy()
    assert classes - 1 in guess  # it is predicted, though
    scores = score(probabilities, labels)
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert scores["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, guess))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, guess))
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(truth, guess, average="macro"), rel=1e-6)
    expected = sk.confusion_matrix(truth, guess, labels=range(classes))
    np.testing.assert_array_equal(scores["confusion"], expected)
    assert scores["chance"]["accuracy"] == pytest.approx(np.bincount(truth).max() / len(truth))
    assert scores["chance"]["balanced_accuracy"] == pytest.approx(1 / (classes - 1))
    if classes > 5:
        top = sk.top_k_accuracy_score(truth, probabilities.numpy(), k=5, labels=range(classes))
        assert scores["top5_accuracy"] == pytest.approx(top, rel=1e-6)
    else:
        assert "top5_accuracy" not in scores


def test_what_is_not_labelled_does_not_count() -> None:
    probabilities, labels = make(4)
    some = labels.clone()
    some[::2] = -1
    assert score(probabilities, some) == score(probabilities[1::2], labels[1::2])
    nothing = score(probabilities, torch.full_like(labels, -1))
    assert nothing["labelled"] == 0
    assert nothing["accuracy"] is None
