"""Predictions a frame become one sequence a video, whatever order they come in."""

from __future__ import annotations

import numpy as np
import pytest

from fouls.heads.metrics import segment_f1, segmentation_scores
from fouls.heads.predictions import Predictions
from fouls.heads.report import score_all
from fouls.heads.sequences import label_sequences
from fouls.heads.tasks import Task


def of_frames(rows: list[tuple[str, int, int, list[float]]]) -> Predictions:
    """From video, frame, label and probabilities."""
    videos, frames, labels, probabilities = zip(*rows, strict=True)
    return Predictions(
        task=Task(name="action", classes=("rest", "walk"), per_frame=True),
        sample_ids=np.array(videos, object),
        labels=np.array(labels),
        probabilities=np.array(probabilities, np.float32),
        video_ids=np.array(videos, object),
        frames=np.array(frames),
    )


def test_frames_are_sorted_into_videos() -> None:
    rows = [
        ("b", 1, 1, [0.1, 0.9]),
        ("a", 2, 0, [0.7, 0.3]),
        ("b", 0, 0, [0.4, 0.6]),
        ("a", 0, 1, [0.2, 0.8]),
        ("a", 1, -1, [0.9, 0.1]),  # no label
        ("b", 2, 1, [0.6, 0.4]),
    ]
    truths, predictions = label_sequences(of_frames(rows))
    assert [sequence.tolist() for sequence in truths] == [[0, 1, 1], [1, 0]]
    assert [sequence.tolist() for sequence in predictions] == [[1, 1, 0], [1, 0]]


def test_a_frame_in_two_crops_counts_once() -> None:
    rows = [
        ("a", 0, 1, [0.6, 0.4]),
        ("a", 1, 0, [0.8, 0.2]),
        ("a", 0, 1, [0.1, 0.9]),
        ("a", 1, 0, [0.4, 0.6]),
    ]
    truths, predictions = label_sequences(of_frames(rows))
    assert [sequence.tolist() for sequence in truths] == [[1, 0]]
    assert [sequence.tolist() for sequence in predictions] == [[1, 0]]


def test_scores_of_frames_have_their_segments() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, (2, 8)), 5, axis=1)  # two videos of 40 frames
    walks = np.clip(0.3 + 0.4 * labels + 0.25 * rng.standard_normal(labels.shape), 0.01, 0.99)
    rows = [
        (f"v{video}", frame, int(labels[video, frame]), [1 - walks[video, frame], walks[video, frame]])
        for video in range(2)
        for frame in range(40)
    ]
    rng.shuffle(rows)  # type: ignore[arg-type]
    scores = score_all([of_frames(rows)])["action"]
    guesses = (walks.astype(np.float32) > 0.5).astype(int)
    matched = segment_f1(list(labels), list(guesses))
    assert matched is not None
    assert scores["segments"] == {
        "videos": 2,
        **segmentation_scores(list(labels), list(guesses)),
        "f1_iou_30": pytest.approx(100 * matched),
    }
    assert scores["segments"]["accuracy"] == pytest.approx(100 * scores["accuracy"])
    unlabelled = score_all([of_frames([(video, frame, -1, values) for video, frame, _, values in rows])])["action"]
    assert "segments" not in unlabelled
