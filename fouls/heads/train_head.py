"""One run from start to end: train, measure, and write it all down."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from fouls.files import write_atomically
from fouls.heads.coverage import Coverage
from fouls.heads.determinism import deterministic
from fouls.heads.figures import draw_curves
from fouls.heads.head import Head
from fouls.heads.keypoint_error import keypoint_error
from fouls.heads.options import write_options
from fouls.heads.predictions import Predictions, predict, reduced
from fouls.heads.prepare import Prepared
from fouls.heads.registry import head_name
from fouls.heads.report import SplitScores, find_thresholds, score_all, write_confusions, write_predictions
from fouls.heads.run import Run
from fouls.heads.run_folder import (
    CONFIG,
    CURVES,
    HISTORY,
    METRICS,
    OPTIONS,
    PREDICTIONS,
    WEIGHTS,
    create_folder,
    save_weights,
    write_json,
)
from fouls.heads.samples import Samples
from fouls.heads.tally import EpochScores
from fouls.heads.train import Fit, check_fit, fit

BySplit = dict[str, list[Predictions]]
"""Split → predictions of each task."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run, and what was measured."""

    run: Run
    fit: Fit
    metrics: dict[str, Any]
    """What ``metrics.json`` holds."""

    @property
    def scores(self) -> dict[str, SplitScores]:
        """Split → task → scores."""
        scores: dict[str, SplitScores] = self.metrics["splits"]
        return scores


def train_head(
    prepared: Prepared,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    overwrite: bool = False,
    on_epoch: Callable[[EpochScores], None] = lambda scores: None,
) -> Trained:
    """Train a head and write the run.

    Args:
        prepared: from :func:`prepare`.
        out: where runs lie.
        name: the run's; ``None``: ``<store>-<head>-<number>``.
        overwrite: replace a run of this name.
        on_epoch: called with the new line of the history after every epoch.

    Raises:
        RunError: the name is taken, or the loss does not stay finite.
    """
    config = prepared.config
    device = torch.device(config.device)
    with deterministic(config.train.seed, device, threads=config.train.threads):
        head = config.build_head().to(device)
        samples = reduced(head, prepared.samples.to(device))
        train = samples.select(prepared.train)
        valid = samples.select(prepared.valid) if len(prepared.valid) else None
        check_fit(train, config.tasks, config.train)
        folder = create_folder(Path(out), name, default_name(prepared), overwrite=overwrite)
        _write_options(folder, prepared)
        with SummaryWriter(str(folder)) as events:

            def after_epoch(scores: EpochScores) -> None:
                _add_event(events, scores)
                on_epoch(scores)

            result = fit(head, train, valid, config.tasks, config.train, config.loss, after_epoch)
        return _finish(folder, prepared, head, result, train, valid)


def write_run(
    prepared: Prepared, head: Head, result: Fit, samples: Samples, *, out: str | Path, name: str, overwrite: bool
) -> Trained:
    """Write the run of a head that was trained already, as :func:`train_head` does.

    Args:
        prepared: what it was trained on.
        head: with its weights, on the device of the samples.
        result: what training gave.
        samples: all of ``prepared``, reduced.
        out: where runs lie.
        name: the run's.
        overwrite: replace a run of this name.

    Raises:
        RunError: the name is taken.
    """
    config = prepared.config
    with deterministic(config.train.seed, samples.device, threads=config.train.threads):
        folder = create_folder(Path(out), name, name, overwrite=overwrite)
        _write_options(folder, prepared)
        with SummaryWriter(str(folder)) as events:
            for scores in result.history:
                _add_event(events, scores)
        valid = samples.select(prepared.valid) if len(prepared.valid) else None
        return _finish(folder, prepared, head, result, samples.select(prepared.train), valid)


def default_name(prepared: Prepared) -> str:
    """The beginning of a run's name: ``<stores>-<head>``."""
    return f"{prepared.config.features_name}-{head_name(prepared.config.head)}"


def _write_options(folder: Path, prepared: Prepared) -> None:
    write_atomically(folder / CONFIG, prepared.config.to_json())
    write_atomically(folder / OPTIONS, write_options(prepared.options))


def _add_event(events: SummaryWriter, scores: EpochScores) -> None:
    for column, value in scores.items():
        events.add_scalar(column, value, int(scores["epoch"]))


def _finish(
    folder: Path, prepared: Prepared, head: Head, result: Fit, train: Samples, valid: Samples | None
) -> Trained:
    """Predict, measure, and write what there is to write, the metrics last."""
    config = prepared.config
    predictions = {config.train_split: predict(head, train, config.tasks)}
    if valid is not None:
        predictions[config.valid_split] = predict(head, valid, config.tasks)
    watched = config.train_split if valid is None else config.valid_split
    keypoints = {watched: keypoint_error(head, train if valid is None else valid)}
    thresholds = {} if valid is None else find_thresholds(predictions[config.valid_split])
    metrics = _metrics(head, result, predictions, prepared.coverage) | {
        "splits": {split: score_all(of_split, thresholds) for split, of_split in predictions.items()},
        "thresholds": thresholds,
    }
    if keypoints[watched] is not None:
        metrics["keypoint_mae"] = keypoints
    _write(folder, head, result, predictions, metrics)
    run = Run(path=folder, config=config, head=head, thresholds=thresholds)
    return Trained(run=run, fit=result, metrics=metrics)


def _metrics(head: Head, result: Fit, predictions: BySplit, coverage: Coverage) -> dict[str, Any]:
    return {
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "stopped_early": result.stopped_early,
        "parameters": sum(parameter.numel() for parameter in head.parameters()),
        "labelled_samples": coverage.labelled,
        "labelled_samples_without_features": coverage.missing,
        "labelled_samples_with_some_videos_missing": coverage.partial,
    }


def _write(folder: Path, head: Head, result: Fit, predictions: BySplit, metrics: dict[str, Any]) -> None:
    """Everything but the config, which is there already; what makes the run count as finished comes last."""
    save_weights(folder / WEIGHTS, head)
    write_atomically(folder / HISTORY, _history_csv(result.history))
    write_predictions(folder / PREDICTIONS, predictions)
    scores: dict[str, SplitScores] = metrics["splits"]
    watched = scores[list(scores)[-1]]
    chance = {
        task: of_task["chance"]["balanced_accuracy"] if "chance" in of_task else None
        for task, of_task in watched.items()
        if of_task["labelled"]
    }
    curves = draw_curves(result.history, result.best_epoch if len(scores) > 1 else None, chance, folder.name)
    write_atomically(folder / CURVES, curves)
    for split, of_split in predictions.items():
        write_confusions(folder, split, of_split, scores[split])
    write_json(folder / METRICS, metrics)


def _history_csv(history: list[EpochScores]) -> bytes:
    columns = list(dict.fromkeys(column for scores in history for column in scores))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**scores, "epoch": int(scores["epoch"])} for scores in history)
    return text.getvalue().encode()
