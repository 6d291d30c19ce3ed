"""From runs to an ensemble: which tasks, and what each run weighs. Only predictions are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from fouls import __version__
from fouls.errors import ConfigError, RunError
from fouls.heads.ensemble.config import Ensemble, EnsembleConfig
from fouls.heads.ensemble.join import Joined, common_tasks, join_predictions
from fouls.heads.ensemble.members import Evaluate, predictions_of, reference_to
from fouls.heads.ensemble.weights import fit_weights, likelihoods, normalised
from fouls.heads.run import Run
from fouls.heads.run_folder import ENSEMBLE, create_folder, write_json

Weighting = Literal["fitted", "equal"] | tuple[float, ...]
"""How the weights are found: on the labels of a split, or all the same, or as given."""


def parse_weighting(text: str) -> Weighting:
    """``fitted``, ``equal``, or numbers with commas between them.

    Raises:
        ConfigError: something else.
    """
    match text:
        case "fitted":
            return "fitted"
        case "equal":
            return "equal"
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"weights are {text!r}; allowed: fitted, equal, or a number a run, such as 0.5,0.3,0.2"
        ) from error


def choose_weights(runs: Sequence[Run], weighting: Weighting, *, split: str, evaluate: Evaluate) -> EnsembleConfig:
    """Decide what an ensemble is. Nothing is written but by ``evaluate``.

    Args:
        runs: two at least.
        weighting: how the weights are found; fitted ones are found for each task by itself.
        split: whose labels they are fitted on.
        evaluate: for runs that have no saved predictions of it.

    Raises:
        ConfigError: weights that are not one a run, or a run was trained on the split.
        RunError: the runs don't fit each other, or there is no label to fit on.
    """
    by_run = {str(run.path): run.tasks for run in runs}
    tasks, left_out = common_tasks(by_run)
    names = [task.name for task in tasks]
    if weighting == "fitted":
        weights = _fitted(runs, names, split, evaluate)
    else:
        given = (1.0,) * len(runs) if weighting == "equal" else weighting
        weights = dict.fromkeys(names, normalised(given, len(runs)).tolist())
    return EnsembleConfig(
        members=tuple(reference_to(run) for run in runs),
        tasks=tasks,
        weights=weights,
        fitted_on=split if weighting == "fitted" else None,
        left_out=left_out,
        version=__version__,
    )


def _fitted(runs: Sequence[Run], tasks: Sequence[str], split: str, evaluate: Evaluate) -> dict[str, list[float]]:
    for run in runs:
        if run.config.train_split == split:
            raise ConfigError(f"{run.path} was trained on split {split!r}: fit the weights on another --valid-split")
    found = predictions_of(runs, tasks, split, evaluate).predictions
    return {task: _fit(join_predictions(by_run), split) for task, by_run in found.items()}


def _fit(joined: Joined, split: str) -> list[float]:
    """The weights of one task, from the labels that all runs have a prediction for."""
    common = joined.select(joined.in_all)
    of_truth = likelihoods(common.probabilities, common.labels, multi_label=joined.task.multi_label)
    if not of_truth.size:
        there = "frames" if joined.task.per_frame else "samples"
        raise RunError(
            f"split {split!r} has no label of task {joined.task.name!r} that all runs have a prediction for (of "
            f"{len(joined.labels)} {there} all have {int(np.sum(joined.in_all))}): name another --valid-split, or give "
            "--weights equal"
        )
    weights: list[float] = fit_weights(of_truth).tolist()
    return weights


def write_ensemble(config: EnsembleConfig, *, out: str | Path, name: str | None, overwrite: bool) -> Ensemble:
    """Make the folder of an ensemble.

    Args:
        config: what it is.
        out: where runs lie.
        name: the folder's; ``None``: ``ensemble-<number>``.
        overwrite: replace an ensemble of this name; a run is never replaced.

    Raises:
        RunError: the name is taken.
        ConfigError: the name is no plain name of a folder.
    """
    folder = create_folder(Path(out), name, "ensemble", overwrite=overwrite, config=ENSEMBLE)
    write_json(folder / ENSEMBLE, config.to_dict())
    return Ensemble(path=folder, config=config)
