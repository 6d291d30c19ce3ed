"""What a run says of its predictions: scores as JSON, the predictions as Parquet, confusion matrices as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fouls.files import write_atomically
from fouls.heads.figures import draw_confusion
from fouls.heads.metrics import Scores
from fouls.heads.predictions import Predictions, predictions_table

SplitScores = dict[str, Scores]
"""Task → its scores in one split."""


def score_all(predictions: Sequence[Predictions]) -> SplitScores:
    """The scores of every task."""
    return {prediction.task.name: prediction.score() for prediction in predictions}


def write_predictions(path: Path, by_split: Mapping[str, Sequence[Predictions]]) -> None:
    """Write the predictions of some splits as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(predictions_table(by_split.items()), sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())


def write_confusions(folder: Path, split: str, predictions: Sequence[Predictions], scores: SplitScores) -> list[Path]:
    """Draw ``confusion_<task>_<split>.png`` for every task that has labels in the split."""
    paths = []
    for prediction in predictions:
        of_task = scores[prediction.task.name]
        if not of_task["labelled"]:
            continue
        unit = "frames" if prediction.task.per_frame else "samples"
        subtitle = (
            f"{of_task['labelled']:,} {unit}  ·  accuracy {_percent(of_task['accuracy'])}  ·  balanced accuracy "
            f"{_percent(of_task['balanced_accuracy'])}, chance {_percent(of_task['chance']['balanced_accuracy'])}"
        )
        path = folder / f"confusion_{prediction.task.name}_{split}.png"
        title = f"{prediction.task.name}, {split}"
        write_atomically(path, draw_confusion(of_task["confusion"], prediction.task.classes, title, subtitle))
        paths.append(path)
    return paths


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
