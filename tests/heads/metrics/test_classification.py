"""Metrics of one label a sample beside scikit-learn's."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

from fouls.heads.metrics import average_precision, balanced_accuracy, confusion_matrix, score


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
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(truth, guess, average="macro"))
    assert scores["micro_f1"] == pytest.approx(sk.f1_score(truth, guess, average="micro"))
    expected = sk.confusion_matrix(truth, guess, labels=range(classes))
    np.testing.assert_array_equal(scores["confusion"], expected)
    assert scores["chance"]["accuracy"] == pytest.approx(np.bincount(truth).max() / len(truth))
    assert scores["chance"]["balanced_accuracy"] == pytest.approx(1 / (classes - 1))
    if classes > 5:
        top = sk.top_k_accuracy_score(truth, probabilities.numpy(), k=5, labels=range(classes))
        assert scores["top5_accuracy"] == pytest.approx(top)
    else:
        assert "top5_accuracy" not in scores


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k: int) -> None:
    probabilities, labels = make(4)
    expected = sk.top_k_accuracy_score(labels.numpy(), probabilities.numpy(), k=k, labels=range(4))
    assert score(probabilities, labels, top_k=(k,))[f"top{k}_accuracy"] == pytest.approx(expected)


def test_equal_probabilities_go_to_the_first_classes() -> None:
    even = torch.full((4, 4), 0.25)
    scores = score(even, torch.arange(4), top_k=(1, 3))
    assert (scores["top1_accuracy"], scores["top3_accuracy"], scores["accuracy"]) == (0.25, 0.75, 0.25)


def test_per_class_is_scikit_learns() -> None:
    probabilities, labels = make(6)
    probabilities[:, 4] = 0  # a class that is never predicted; the last never occurs
    truth, guess = labels.numpy(), probabilities.argmax(dim=1).numpy()
    per_class = score(probabilities, labels)["per_class"]
    expected = sk.precision_recall_fscore_support(truth, guess, labels=range(6), zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(np.array(per_class[name], dtype=float), values, err_msg=name)
    assert per_class["precision"][4] is None
    assert per_class["recall"][5] is None
    assert per_class["average_precision"][5] is None
    one_against_rest = label_binarize(truth, classes=range(6))[:, :5]
    expected_precision = sk.average_precision_score(one_against_rest, probabilities[:, :5].numpy(), average=None)
    np.testing.assert_allclose(per_class["average_precision"][:5], expected_precision)
    mean = score(probabilities, labels)["mean_average_precision"]
    assert mean == pytest.approx(np.mean(expected_precision))


def test_average_precision_counts_equal_scores_as_one_threshold() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 300) / 5, rng.random(300) < 0.2
    assert average_precision(scores, positive) == pytest.approx(sk.average_precision_score(positive, scores))
    # by hand: at 0.9 one of one is right (recall 1/2), at 0.5 two of four are
    assert average_precision([0.9, 0.5, 0.5, 0.5, 0.1], [1, 1, 0, 0, 0]) == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert np.isnan(average_precision([0.2, 0.1], [False, False]))


def test_balanced_accuracy_by_hand() -> None:
    confusion = confusion_matrix(torch.tensor([0, 0, 1, 2, 1]), torch.tensor([0, 0, 0, 1, 1]), 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert balanced_accuracy(confusion) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_what_is_not_labelled_does_not_count() -> None:
    probabilities, labels = make(4)
    some = labels.clone()
    some[::2] = -1
    assert score(probabilities, some) == score(probabilities[1::2], labels[1::2])
    nothing = score(probabilities, torch.full_like(labels, -1))
    assert nothing["labelled"] == 0
    assert all(value is None for name, value in nothing.items() if name != "labelled")
    assert nothing.keys() <= score(probabilities, labels).keys()


def test_scores_are_json_without_nan() -> None:
    probabilities, labels = make(6)

    def refuse(name: str) -> Any:
        raise AssertionError(name)

    scores = score(probabilities, labels)
    assert json.loads(json.dumps(scores), parse_constant=refuse) == scores


def test_only_what_takes_tensors_loads_torch() -> None:
    code = (
        "import sys; from fouls.heads import metrics; "
        "metrics.segmentation_scores, metrics.mvfoul_scores, metrics.ma52_scores, metrics.search_thresholds, "
        "metrics.keypoint_mae, metrics.score_multi_label, metrics.brier_score; "
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False"]
