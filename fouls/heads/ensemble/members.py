"""The runs of an ensemble, and what each says of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.errors import ConfigError, RunError
from fouls.heads.ensemble.config import MemberReference, is_ensemble
from fouls.heads.predictions import Predictions
from fouls.heads.registry import head_name
from fouls.heads.run import Run
from fouls.heads.run_folder import PREDICTIONS, WEIGHTS, metrics_file, predictions_file
from fouls.heads.saved_predictions import read_predictions

Evaluate = Callable[[Run, str], Sequence[Predictions]]
"""Evaluates a run on a split, as ``fouls evaluate`` does."""


@dataclass(frozen=True, kw_only=True)
class OfSplit:
    """What the runs say of a split."""

    predictions: dict[str, dict[str, Predictions]]
    """Task → run → its predictions, for the tasks of the ensemble."""
    read: dict[str, Path]
    """Run → the file that its predictions were read from; of the others they were made now."""


def check_members(paths: Sequence[Path]) -> None:
    """Refuse what can't be averaged.

    Raises:
        ConfigError: fewer than two runs, or one of them twice.
        RunError: one of them is an ensemble.
    """
    if len(paths) < 2:
        raise ConfigError(f"an ensemble needs 2 runs at least; given: {', '.join(map(str, paths)) or 'none'}")
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise ConfigError(f"run {path} is given twice: name every run once, --weights says what each counts")
        seen.add(path.resolve())
        if is_ensemble(path):
            raise RunError(f"{path} is an ensemble: name its runs instead")


def reference_to(run: Run) -> MemberReference:
    """What identifies a run."""
    config = run.config
    return MemberReference(
        run=str(run.path),
        weights_sha256=hashlib.sha256((run.path / WEIGHTS).read_bytes()).hexdigest(),
        head=head_name(config.head),
        features=tuple(store.path for store in config.stores),
        fingerprints=tuple(store.fingerprint for store in config.stores),
        pools=tuple(store.pool for store in config.stores),
        manifest=config.manifest.path,
        manifest_fingerprint=config.manifest.fingerprint,
    )


def predictions_of(runs: Sequence[Run], tasks: Sequence[str], split: str, evaluate: Evaluate) -> OfSplit:
    """What the runs say of a split: read where it is saved, else found out now.

    Args:
        runs: the members.
        tasks: names of the tasks that are wanted.
        split: which samples.
        evaluate: for runs that have nothing saved of the split.

    Raises:
        RunError: what is saved can't be read, or nothing can be found out.
    """
    found: dict[str, dict[str, Predictions]] = {task: {} for task in tasks}
    read: dict[str, Path] = {}
    for run in runs:
        file = saved_file(run, split)
        if file is None:
            of_run = evaluate(run, split)
        else:
            read[str(run.path)] = file
            of_run = read_predictions(file, run.tasks, split)
        for predictions in of_run:
            if predictions.task.name in found:
                found[predictions.task.name][str(run.path)] = predictions
    return OfSplit(predictions=found, read=read)


def saved_file(run: Run, split: str) -> Path | None:
    """Where a run's predictions of a split are: ``fouls evaluate`` wrote them, or training did.

    Training saves the labelled samples only, so its file counts for samples that it set aside from train: no manifest
    knows those.
    """
    if (run.path / metrics_file(split)).exists():  # written last
        return run.path / predictions_file(split)
    set_aside = run.config.train.valid_fraction > 0 and split == run.config.valid_split
    return run.path / PREDICTIONS if set_aside else None
