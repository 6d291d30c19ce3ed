"""Frame by frame labels as segments: what temporal action segmentation measures.

A segment is a longest run of frames with one label, [start, stop); it ends with its video. Segments of classes named as
``background`` are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError
from fouls.heads.metrics.precision import Floats, f1, mean_defined

Background = Sequence[int] | Sequence[str]
"""Classes that are no segments."""

_OVERLAPS = (0.10, 0.25, 0.50)


class Segments(NamedTuple):
    """The segments of one video, in time."""

    classes: npt.NDArray[np.generic]
    """(n,)"""
    starts: npt.NDArray[np.int64]
    """(n,) first frame of each."""
    stops: npt.NDArray[np.int64]
    """(n,) the frame after the last."""


def find_segments(labels: npt.ArrayLike, background: Background = ()) -> Segments:
    """The segments of one video, from the labels (T,) of its frames."""
    frames = np.asarray(labels)
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(frames)), dtype=bool), frames[1:] != frames[:-1]]))
    stops = np.append(starts[1:], len(frames))[: len(starts)]
    if len(background):
        kept = ~np.isin(frames[starts], background)
        starts, stops = starts[kept], stops[kept]
    return Segments(frames[starts], starts, stops)


def segmentation_scores(
    truths: Sequence[npt.ArrayLike], predictions: Sequence[npt.ArrayLike], background: Background = ()
) -> dict[str, float]:
    """Accuracy, edit score and F1@{10, 25, 50} in percent, as the evaluation of MS-TCN gives them.

    The edit score is from Lea et al. 2016 (https://arxiv.org/abs/1602.02995), F1@k from Lea et al. 2017
    (https://arxiv.org/abs/1611.05267), what is summed over videos from MS-TCN (https://arxiv.org/abs/1903.01945). A
    predicted segment is right when the segment of its class that it overlaps most has an intersection over union of at
    least k % and no earlier segment has been right about it.

    Args:
        truths: labels (T,) of each video's frames, indices or names.
        predictions: the same of what was predicted, with as many frames.
        background: classes whose segments count neither for edit nor for F1; their frames do count for accuracy.

    Returns:
        ``accuracy``: share of all frames that are right; ``edit``: mean over videos of 1 − Levenshtein distance of the
        two sequences of segments / length of the longer; ``f1@10``, ``f1@25``, ``f1@50``: F1 of the segments, counted
        over all videos. Where there are no segments on either side, they agree: 100.

    Raises:
        ConfigError: no videos, or a video with two numbers of frames.
    """
    videos = _check(truths, predictions)
    right = sum(int((truth == predicted).sum()) for truth, predicted in videos)
    pairs = [(find_segments(truth, background), find_segments(predicted, background)) for truth, predicted in videos]
    scores = {
        "accuracy": 100 * right / sum(len(truth) for truth, _ in videos),
        "edit": 100 * float(np.mean([_edit_score(truth.classes, predicted.classes) for truth, predicted in pairs])),
    }
    num_segments = sum(len(truth.starts) for truth, _ in pairs)
    num_predicted = sum(len(predicted.starts) for _, predicted in pairs)
    for overlap in _OVERLAPS:
        hits = sum(_best_matches(truth, predicted, overlap) for truth, predicted in pairs)
        score = float(f1(hits, num_predicted, num_segments)) if num_segments + num_predicted else 1.0
        scores[f"f1@{round(100 * overlap)}"] = 100 * score
    return scores


def segment_f1(
    truths: Sequence[npt.ArrayLike],
    predictions: Sequence[npt.ArrayLike],
    iou: float = 0.3,
    background: Background = (),
    average: Literal["micro", "macro"] = "micro",
) -> float | None:
    """F1 of segments, each matched with at most one of its class that it overlaps enough, from 0 to 1.

    The matching is in the order of time, which makes as many pairs as any: segments of one class follow each other, so
    pairs can't cross. Unlike F1@k, a segment that finds its best partner taken may take another.

    Args:
        truths: labels (T,) of each video's frames, indices or names.
        predictions: the same of what was predicted, with as many frames.
        iou: the least intersection over union, above 0 and at most 1.
        background: classes whose segments don't count.
        average: ``micro``: all segments of all videos in one count; ``macro``: the mean over the classes that have a
            segment, true or predicted, of the F1 over all videos.

    Returns:
        ``None`` where there are no segments at all.

    Raises:
        ConfigError: no videos, a video with two numbers of frames, or an option out of range.
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"iou is {iou}; allowed: above 0 and at most 1")
    if average not in ("micro", "macro"):
        raise ConfigError(f"average is {average!r}; allowed: micro, macro")
    pairs = [
        (find_segments(truth, background), find_segments(predicted, background))
        for truth, predicted in _check(truths, predictions)
    ]
    classes = np.unique(np.concatenate([segments.classes for pair in pairs for segments in pair]))
    counts = np.array([_class_counts(pairs, name, iou) for name in classes]).reshape(-1, 3)  # hits, predicted, support
    score = float(f1(*counts.sum(axis=0))) if average == "micro" else mean_defined(f1(*counts.T))
    return None if np.isnan(score) else score


def _check(
    truths: Sequence[npt.ArrayLike], predictions: Sequence[npt.ArrayLike]
) -> list[tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]]:
    if not len(truths) or len(truths) != len(predictions):
        raise ConfigError(f"segments of {len(truths)} videos, predictions of {len(predictions)}: give both of each")
    videos = [(np.asarray(truth), np.asarray(predicted)) for truth, predicted in zip(truths, predictions, strict=True)]
    for index, (truth, predicted) in enumerate(videos):
        if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
            raise ConfigError(
                f"video {index} has labels of shape {truth.shape} and predictions of shape {predicted.shape}: give one "
                "of each a frame"
            )
    return videos


def _edit_score(truth: npt.NDArray[np.generic], predicted: npt.NDArray[np.generic]) -> float:
    """1 − Levenshtein distance / length of the longer."""
    if not len(truth) and not len(predicted):
        return 1.0
    steps = np.arange(len(predicted) + 1)
    row = steps  # distances of nothing from the first n predictions
    for name in truth:
        row = np.append(row[0] + 1, np.minimum(row[1:] + 1, row[:-1] + (predicted != name)))
        row = np.minimum.accumulate(row - steps) + steps  # predictions that are left out
    return 1 - float(row[-1]) / max(len(truth), len(predicted))


def _overlaps(truth: Segments, predicted: Segments) -> Floats:
    """Intersection over union (predicted, true), 0 between different classes."""
    intersections = np.minimum(predicted.stops[:, None], truth.stops) - np.maximum(
        predicted.starts[:, None], truth.starts
    )
    spans = np.maximum(predicted.stops[:, None], truth.stops) - np.minimum(predicted.starts[:, None], truth.starts)
    # Where the two meet, the span is their union; where they don't, the quotient is negative and made 0.
    return np.where(predicted.classes[:, None] == truth.classes, np.maximum(intersections, 0) / spans, 0.0)


def _best_matches(truth: Segments, predicted: Segments, overlap: float) -> int:
    """True segments that are the best partner of a predicted one, and overlap it enough."""
    if not len(truth.starts) or not len(predicted.starts):
        return 0
    overlaps = _overlaps(truth, predicted)
    best = overlaps.argmax(axis=1)
    return len(np.unique(best[overlaps.max(axis=1) >= overlap]))


def _class_counts(pairs: Sequence[tuple[Segments, Segments]], name: np.generic, iou: float) -> tuple[int, int, int]:
    """Matched, predicted and true segments of one class, over all videos."""
    hits = num_predicted = num_segments = 0
    for both in pairs:
        truth, predicted = (Segments(*(column[side.classes == name] for column in side)) for side in both)
        free = np.ones(len(truth.starts), dtype=bool)
        for overlaps in _overlaps(truth, predicted):
            candidates = np.flatnonzero(free & (overlaps >= iou))
            free[candidates[:1]] = False
        hits += int((~free).sum())
        num_predicted += len(predicted.starts)
        num_segments += len(truth.starts)
    return hits, num_predicted, num_segments
