"""MA-52, the Micro-Action Challenge: the prediction files of 2024 and of Codabench since, and ``F1_mean``.

Both are the content of the ``prediction.csv`` that the challenge wants in a zip archive.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fouls.errors import RunError
from fouls.heads.metrics.ma52 import ma52_scores
from fouls.heads.predictions import Predictions
from fouls.heads.submissions.challenge import Challenge
from fouls.heads.tasks import Task
from fouls.manifests.builders.ma52 import BODY_CLASSES, COARSE_TASK, FINE_TASK, FINE_TO_COARSE

_TOP = 5
_ENDING = ".mp4"
"""Of every file of the data set; the challenge's ids are file names."""

_KNOWN_BY = {"shaking body": 0, "nodding": 9, "waving": 19, "crossing legs": 28, "touching nose": 43}
"""Some of the published fine classes, with their indices."""


def is_ma52(tasks: Sequence[Task]) -> bool:
    """Whether one of the tasks is the fine one of MA-52: 52 classes, beside the coarse task or named as published."""
    classes = {task.name: task.classes for task in tasks}
    fine = classes.get(FINE_TASK, ())
    if len(fine) != len(FINE_TO_COARSE):
        return False
    return classes.get(COARSE_TASK) == BODY_CLASSES or all(fine[index] == name for name, index in _KNOWN_BY.items())


def codabench_csv(predictions: Sequence[Predictions]) -> bytes:
    """``vid,action_pred_1..5,body_pred_1..5``: the five most probable classes of each level, the best first.

    The bodies are ranked by the task ``body`` where the run has it, else by the sum of the probabilities of each body's
    fine classes.

    Args:
        predictions: of the task ``action``, and perhaps ``body``.

    Raises:
        RunError: two samples of one file name.
    """
    by_task = {prediction.task.name: prediction for prediction in predictions}
    fine = by_task[FINE_TASK]
    bodies = by_task[COARSE_TASK].probabilities if COARSE_TASK in by_task else body_probabilities(fine.probabilities)
    header = ["vid", *(f"{level}_pred_{rank}" for level in ("action", "body") for rank in range(1, _TOP + 1))]
    ranked = np.hstack([_ranking(fine.probabilities), _ranking(bodies)])
    return _csv(header, fine.sample_ids, ranked)


def csv_of_2024(predictions: Sequence[Predictions]) -> bytes:
    """``id,pred_label_1,pred_label_2``: body, then action.

    The body is the one that the action belongs to, so that the file scores the ``F1_mean`` that is measured here.

    Args:
        predictions: of the task ``action``.

    Raises:
        RunError: two samples of one file name.
    """
    fine = next(prediction for prediction in predictions if prediction.task.name == FINE_TASK)
    bodies = np.array(FINE_TO_COARSE)[fine.classes]
    return _csv(["id", "pred_label_1", "pred_label_2"], fine.sample_ids, np.stack([bodies, fine.classes], axis=1))


def body_probabilities(fine: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From probabilities of the fine classes (N, 52) to sums over those of each body (N, 7)."""
    belongs = np.array(FINE_TO_COARSE)[:, None] == np.arange(len(BODY_CLASSES))  # (52, 7)
    sums: npt.NDArray[np.float32] = fine @ belongs.astype(np.float32)
    return sums


def _ranking(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(N, 5) the most probable classes, the best first."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :_TOP]


def _csv(header: Sequence[str], sample_ids: Iterable[str], columns: npt.NDArray[np.int64]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    seen: dict[str, str] = {}
    for sample_id, values in zip(sample_ids, columns.tolist(), strict=True):
        name = f"{sample_id.rpartition('/')[2].removesuffix(_ENDING)}{_ENDING}"
        if name in seen:
            raise RunError(f"samples {seen[name]!r} and {sample_id!r} both are {name}: MA-52's ids are file names")
        seen[name] = sample_id
        writer.writerow([name, *values])
    return text.getvalue().encode()


def _files(predictions: Sequence[Predictions], split: str) -> dict[str, bytes]:
    return {
        f"ma52_{split}_2024.csv": csv_of_2024(predictions),
        f"ma52_{split}_codabench.csv": codabench_csv(predictions),
    }


def _scores(predictions: Sequence[Predictions]) -> dict[str, float] | None:
    fine = next(prediction for prediction in predictions if prediction.task.name == FINE_TASK)
    if not (fine.labels >= 0).any():
        return None
    return {name: 100 * value for name, value in ma52_scores(fine.labels, fine.classes).items()}


CHALLENGE = Challenge(recognises=is_ma52, files=_files, scores=_scores, measure="F1_mean")
