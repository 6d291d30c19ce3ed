"""An ensemble on a split: its predictions, their scores, and those of its runs on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fouls.errors import RunError
from fouls.heads.ensemble.config import Ensemble
from fouls.heads.ensemble.join import Joined, join_predictions
from fouls.heads.ensemble.members import Evaluate, predictions_of, reference_to
from fouls.heads.ensemble.weights import negative_log_likelihood, weighted_average
from fouls.heads.evaluate import write_evaluation
from fouls.heads.predictions import Predictions
from fouls.heads.report import SplitScores, score_all
from fouls.heads.run import Run
from fouls.heads.run_folder import metrics_file, write_json


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run, or the ensemble, on what all runs have a prediction of."""

    name: str
    weight: float | None
    """``None`` for the ensemble."""
    scores: dict[str, Any]
    """See :func:`fouls.heads.report.score_all`."""
    negative_log_likelihood: float | None
    """See :func:`fouls.heads.ensemble.weights.negative_log_likelihood`."""

    @property
    def deciding_score(self) -> float | None:
        """Balanced accuracy, or the mean average precision of a multi-label task: what chooses a run's best epoch."""
        name = "balanced_accuracy" if "balanced_accuracy" in self.scores else "mean_average_precision"
        value: float | None = self.scores[name]
        return value

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, without the lists a class."""
        numbers = {name: value for name, value in self.scores.items() if isinstance(value, float | int)}
        return {
            "name": self.name,
            "weight": self.weight,
            "negative_log_likelihood": self.negative_log_likelihood,
            **numbers,
        }


@dataclass(frozen=True, kw_only=True)
class EnsembleEvaluation:
    """What an ensemble is worth on a split."""

    split: str
    num_samples: int
    """Samples that one run has at least, labelled or not; all of them got predictions."""
    predictions: list[Predictions]
    scores: SplitScores
    """Of these."""
    challenges: dict[str, dict[str, float]]
    """Challenge → what it measures, see :mod:`fouls.heads.submissions`."""
    compared: dict[str, list[Entry]]
    """Task → each run, then the ensemble, on what all runs have a prediction of."""
    missing: dict[str, dict[str, int]]
    """Task → run → how many samples, or frames, it lacks that other runs have; the others predict those."""
    read: dict[str, Path]
    """Run → the file that its predictions were read from; the other runs were evaluated now."""
    files: list[Path]
    """What was written."""

    def not_better(self) -> dict[str, Entry]:
        """Task → the run that the ensemble is not better than, by the score that chooses a run's best epoch."""
        found: dict[str, Entry] = {}
        for task, (*members, ensemble) in self.compared.items():
            if ensemble.deciding_score is None:
                continue  # nothing is labelled, which is true of all alike
            best = max(members, key=lambda member: member.deciding_score or 0.0)
            if ensemble.deciding_score <= (best.deciding_score or 0.0):
                found[task] = best
        return found


def load_members(ensemble: Ensemble, load: Callable[[str], Run]) -> list[Run]:
    """The runs of an ensemble.

    Args:
        ensemble: whose.
        load: from a folder to a run.

    Raises:
        RunError: a run is gone, or was trained again since.
    """
    runs = []
    for member in ensemble.config.members:
        runs.append(load(member.run))
        if reference_to(runs[-1]).weights_sha256 != member.weights_sha256:
            names = " ".join(each.run for each in ensemble.config.members)
            raise RunError(
                f"{member.run} was trained again since {ensemble.path} was made: `fouls ensemble {names} --name "
                f"{ensemble.path.name} --overwrite`"
            )
    return runs


def evaluate_ensemble(ensemble: Ensemble, runs: Sequence[Run], *, split: str, evaluate: Evaluate) -> EnsembleEvaluation:
    """Measure an ensemble on a split and write the result into its folder.

    Written is what :func:`fouls.heads.evaluate.evaluate` writes; ``metrics_<split>.json`` has the runs too.

    Args:
        ensemble: which.
        runs: its members, in its order.
        split: which samples; its labels change nothing but the scores.
        evaluate: for runs that have no saved predictions of the split.

    Raises:
        RunError: the runs don't fit each other on the split.
    """
    config = ensemble.config
    found = predictions_of(runs, [task.name for task in config.tasks], split, evaluate)
    joined = {task: join_predictions(by_run) for task, by_run in found.predictions.items()}
    predictions = [_average(of_task, config.weights[task]) for task, of_task in joined.items()]
    scores = score_all(predictions)
    files, challenges = write_evaluation(ensemble.path, split, predictions, scores)
    names = [member.run for member in config.members]
    result = EnsembleEvaluation(
        split=split,
        num_samples=len({sample for of_task in predictions for sample in of_task.sample_ids}),
        predictions=predictions,
        scores=scores,
        challenges=challenges,
        compared={task: _compare(of_task, names, config.weights[task]) for task, of_task in joined.items()},
        missing={
            task: {
                name: int(np.sum(~there)) for name, there in zip(names, of_task.present, strict=True) if not there.all()
            }
            for task, of_task in joined.items()
        },
        read=found.read,
        files=[*files, ensemble.path / metrics_file(split)],
    )
    write_json(result.files[-1], metrics_of(result))
    return result


def metrics_of(result: EnsembleEvaluation) -> dict[str, Any]:
    """What was measured, as JSON types."""
    return {
        "split": result.split,
        "samples": result.num_samples,
        "tasks": result.scores,
        "challenges": result.challenges,
        "missing": result.missing,
        "compared": {task: [entry.to_dict() for entry in entries] for task, entries in result.compared.items()},
    }


def _average(joined: Joined, weights: Sequence[float]) -> Predictions:
    return joined.predictions(weighted_average(joined.probabilities, joined.present, np.array(weights)))


def _compare(joined: Joined, names: Sequence[str], weights: Sequence[float]) -> list[Entry]:
    common = joined.select(joined.in_all)
    each = [common.predictions(probabilities) for probabilities in common.probabilities]
    entries = []
    for name, weight, predictions in zip(
        [*names, "ensemble"], [*weights, None], [*each, _average(common, weights)], strict=True
    ):
        likelihood = negative_log_likelihood(
            predictions.probabilities, predictions.labels, multi_label=joined.task.multi_label
        )
        scores = score_all([predictions])[joined.task.name]
        entries.append(Entry(name=name, weight=weight, scores=scores, negative_log_likelihood=likelihood))
    return entries
