"""What a run says of its predictions: scores as JSON, the predictions as Parquet, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fouls.files import write_atomically
from fouls.heads.figures import draw_class_f1, draw_confusion, draw_reliability
from fouls.heads.losses import MISSING
from fouls.heads.metrics import Scores, apply_thresholds, search_thresholds, segment_f1, segmentation_scores
from fouls.heads.metrics.classification import confusion_matrix, macro_f1
from fouls.heads.predictions import Predictions, predictions_table
from fouls.heads.sequences import label_sequences

SplitScores = dict[str, Scores]
"""Task → its scores in one split."""


Thresholds = Mapping[str, Sequence[float]]
"""Task → the probability from which each class counts."""


def find_thresholds(predictions: Sequence[Predictions]) -> dict[str, list[float]]:
    """The thresholds with the best F1 of each class, see :func:`fouls.heads.metrics.search_thresholds`.

    Args:
        predictions: of the split that they are searched on. Multi-label tasks, and those without labels, have none.
    """
    return {
        prediction.task.name: search_thresholds(prediction.probabilities, prediction.labels).tolist()
        for prediction in predictions
        if not prediction.task.multi_label and (prediction.labels != MISSING).any()
    }


def score_all(predictions: Sequence[Predictions], thresholds: Thresholds | None = None) -> SplitScores:
    """The scores of every task, see :func:`fouls.heads.metrics.score`.

    With thresholds a task also gets ``macro_f1_with_thresholds``: that of the most probable classes that reach them.

    A task with a label a frame also gets ``segments``: the number of ``videos``, what
    :func:`fouls.heads.metrics.segmentation_scores` gives, and ``f1_iou_30``, :func:`fouls.heads.metrics.segment_f1` at
    0.3 in percent. No class counts as background.
    """
    return {prediction.task.name: _scores_of(prediction, thresholds or {}) for prediction in predictions}


def _scores_of(predictions: Predictions, thresholds: Thresholds) -> Scores:
    scores = predictions.score()
    if predictions.task.name in thresholds and scores["labelled"]:
        known = predictions.labels != MISSING
        chosen = apply_thresholds(predictions.probabilities[known], thresholds[predictions.task.name])
        scores["macro_f1_with_thresholds"] = macro_f1(
            confusion_matrix(
                torch.from_numpy(chosen),
                torch.from_numpy(predictions.labels[known]),
                len(predictions.task.classes),
            )
        )
    if predictions.frames is not None and scores["labelled"]:
        truths, guesses = label_sequences(predictions)
        matched = segment_f1(truths, guesses, iou=0.3)
        assert matched is not None  # where there are frames there are segments
        scores["segments"] = {
            "videos": len(truths),
            **segmentation_scores(truths, guesses),
            "f1_iou_30": 100 * matched,
        }
    return scores


def write_predictions(path: Path, by_split: Mapping[str, Sequence[Predictions]]) -> None:
    """Write the predictions of some splits as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(predictions_table(by_split.items()), sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())


def write_pictures(folder: Path, split: str, predictions: Sequence[Predictions], scores: SplitScores) -> list[Path]:
    """Draw the confusion matrix, F1 by class and the reliability diagram of every task that has labels in the split.

    Of a multi-label task there is only F1 by class.
    """
    paths = write_confusions(folder, split, predictions, scores)
    for prediction in predictions:
        task, of_task = prediction.task, scores[prediction.task.name]
        if of_task["macro_f1"] is None:
            continue
        title, count = f"{task.name}, {split}", _count(prediction, of_task)
        means = f"{count}  ·  macro F1 {_percent(of_task['macro_f1'])}  ·  micro F1 {_percent(of_task['micro_f1'])}"
        paths.append(folder / f"f1_{task.name}_{split}.png")
        write_atomically(paths[-1], draw_class_f1(of_task["per_class"], task.classes, title, means))
        if "reliability" not in of_task:
            continue
        error = f"{count}  ·  expected calibration error {_percent(of_task['ece'])}"
        paths.append(folder / f"reliability_{task.name}_{split}.png")
        write_atomically(paths[-1], draw_reliability(of_task["reliability"], title, error))
    return paths


def write_confusions(folder: Path, split: str, predictions: Sequence[Predictions], scores: SplitScores) -> list[Path]:
    """Draw ``confusion_<task>_<split>.png`` for every task that has labels in the split, unless it is multi-label."""
    paths = []
    for prediction in predictions:
        of_task = scores[prediction.task.name]
        if "confusion" not in of_task:
            continue
        subtitle = (
            f"{_count(prediction, of_task)}  ·  accuracy {_percent(of_task['accuracy'])}  ·  balanced accuracy "
            f"{_percent(of_task['balanced_accuracy'])}, chance {_percent(of_task['chance']['balanced_accuracy'])}"
        )
        path = folder / f"confusion_{prediction.task.name}_{split}.png"
        title = f"{prediction.task.name}, {split}"
        write_atomically(path, draw_confusion(of_task["confusion"], prediction.task.classes, title, subtitle))
        paths.append(path)
    return paths


def _count(predictions: Predictions, scores: Scores) -> str:
    return f"{scores['labelled']:,} {'frames' if predictions.task.per_frame else 'samples'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
