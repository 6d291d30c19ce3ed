"""How good predictions are, one measure a file; what each needs is loaded when it is used.

Everything takes numpy arrays, tensors of the CPU or lists, but for the functions of ``classification``, which take
tensors; nothing but them loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fouls.heads.metrics.calibration import brier_score as brier_score
    from fouls.heads.metrics.calibration import expected_calibration_error as expected_calibration_error
    from fouls.heads.metrics.classification import Scores as Scores
    from fouls.heads.metrics.classification import balanced_accuracy as balanced_accuracy
    from fouls.heads.metrics.classification import confusion_matrix as confusion_matrix
    from fouls.heads.metrics.classification import macro_f1 as macro_f1
    from fouls.heads.metrics.classification import score as score
    from fouls.heads.metrics.keypoints import keypoint_mae as keypoint_mae
    from fouls.heads.metrics.ma52 import ma52_scores as ma52_scores
    from fouls.heads.metrics.multi_label import score_multi_label as score_multi_label
    from fouls.heads.metrics.mvfoul import mvfoul_scores as mvfoul_scores
    from fouls.heads.metrics.precision import average_precision as average_precision
    from fouls.heads.metrics.segments import segment_f1 as segment_f1
    from fouls.heads.metrics.segments import segmentation_scores as segmentation_scores
    from fouls.heads.metrics.thresholds import apply_thresholds as apply_thresholds
    from fouls.heads.metrics.thresholds import search_thresholds as search_thresholds

_HOMES = {
    "average_precision": "precision",
    "apply_thresholds": "thresholds",
    "balanced_accuracy": "classification",
    "brier_score": "calibration",
    "confusion_matrix": "classification",
    "expected_calibration_error": "calibration",
    "keypoint_mae": "keypoints",
    "ma52_scores": "ma52",
    "macro_f1": "classification",
    "mvfoul_scores": "mvfoul",
    "score": "classification",
    "score_multi_label": "multi_label",
    "Scores": "classification",
    "search_thresholds": "thresholds",
    "segment_f1": "segments",
    "segmentation_scores": "segments",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
