"""A finished run on a split: scores, predictions, pictures, and the files that challenges ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fouls.cache.store import Store
from fouls.errors import ConfigError, RunError, SpecMismatchError
from fouls.files import write_atomically
from fouls.heads.coverage import Coverage
from fouls.heads.data import load_samples
from fouls.heads.predictions import Predictions
from fouls.heads.report import SplitScores, score_all, write_pictures, write_predictions
from fouls.heads.run import Run
from fouls.heads.run_folder import metrics_file, predictions_file, write_json
from fouls.heads.submissions import challenges_of
from fouls.manifests.table import tasks_of


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a run is worth on a split."""

    split: str
    num_samples: int
    """Samples with features, labelled or not; all of them got predictions."""
    scores: SplitScores
    """Task → scores, see :func:`fouls.heads.report.score_all`."""
    challenges: dict[str, dict[str, float]]
    """Challenge → what it measures, see :mod:`fouls.heads.submissions`."""
    keypoint_mae: float | None
    """Mean absolute error of the regressed keypoints, as a share of width and height; ``None`` where there are none."""
    predictions: list[Predictions]
    coverage: Coverage
    mapped_bytes: int
    """Of features that lie in a temporary file, as memory does not hold them."""
    files: list[Path]
    """What was written into the run."""


def evaluate(
    run: Run, stores: Store | Sequence[Store], manifest: pa.Table, *, split: str, average_passes: bool = False
) -> Evaluation:
    """Measure a run on a split and write the result into its folder.

    Written are ``predictions_<split>.parquet``, the pictures, for the tasks of a challenge the files that it wants, and
    ``metrics_<split>.json``, the last.

    Args:
        run: a finished run.
        stores: features of the same specs, in the order in which the run was trained on them.
        manifest: the labels; it may be another one than the run was trained with. A task that it lacks is not scored.
        split: which samples. Those without labels get predictions and do not count in the scores.
        average_passes: the mean over the plain and all augmented passes, instead of the plain one.

    Raises:
        SpecMismatchError: a store has another spec.
        ConfigError, ManifestError, StoreError: see :func:`fouls.heads.data.load_samples`.
        RunError: the manifest has other classes, or the split no samples with features.
    """
    stores = [stores] if isinstance(stores, Store) else list(stores)
    check_fingerprints(run, stores)
    check_classes(run, manifest)
    options = dataclasses.replace(run.config.data_options(), augmented=average_passes)
    data = load_samples(stores, manifest, options, splits=[split], need_labels=False)
    predictions = run.predict_samples(data.samples, average_passes=average_passes)
    scores = score_all(predictions, run.thresholds)
    keypoint_mae = run.keypoint_error(data.samples)
    files, challenges = write_evaluation(run.path, split, predictions, scores)
    files.append(run.path / metrics_file(split))
    metrics = {"split": split, "samples": len(data.samples), "tasks": scores, "challenges": challenges}
    if keypoint_mae is not None:
        metrics["keypoint_mae"] = keypoint_mae
    write_json(files[-1], metrics)
    return Evaluation(
        split=split,
        num_samples=len(data.samples),
        scores=scores,
        challenges=challenges,
        keypoint_mae=keypoint_mae,
        predictions=predictions,
        coverage=data.coverage,
        mapped_bytes=data.mapped_bytes,
        files=files,
    )


def write_evaluation(
    folder: Path, split: str, predictions: Sequence[Predictions], scores: SplitScores
) -> tuple[list[Path], dict[str, dict[str, float]]]:
    """Write the predictions of a split, pictures, and the files of the challenges that the tasks belong to.

    Args:
        folder: where to; ``metrics_<split>.json``, the last file, is left to the caller.
        split: the name of the split.
        predictions: one of each task.
        scores: of these.

    Returns:
        What was written, and challenge → what it measures, where there are labels.
    """
    (folder / metrics_file(split)).unlink(missing_ok=True)  # it tells that the others are whole
    files = [folder / predictions_file(split)]
    write_predictions(files[0], {split: predictions})
    files += write_pictures(folder, split, predictions, scores)
    measured: dict[str, dict[str, float]] = {}
    for name, challenge in challenges_of([prediction.task for prediction in predictions]).items():
        for file, content in challenge.files(predictions, split).items():
            files.append(folder / file)
            write_atomically(files[-1], content)
        of_challenge = challenge.scores(predictions)
        if of_challenge is not None:
            measured[name] = of_challenge
    return files, measured


def check_fingerprints(run: Run, stores: Sequence[Store]) -> None:
    """Refuse features that are not made like those that the run was trained on.

    Raises:
        SpecMismatchError: names the differing fields.
        ConfigError: another number of stores.
    """
    trained_on = run.config.stores
    if len(stores) != len(trained_on):
        there = ", ".join(reference.path for reference in trained_on)
        raise ConfigError(f"--features is given {len(stores)} times, but {run.path} was trained on {there}")
    for store, reference in zip(stores, trained_on, strict=True):
        if store.fingerprint == reference.fingerprint:
            continue
        differences = reference.spec.differences(store.spec)
        fields = ", ".join(f"{field} {there!r} instead of {here!r}" for field, (here, there) in differences.items())
        raise SpecMismatchError(
            f"{store.path} has other features than {run.path} was trained on ({fields}): give --features "
            f"{reference.path}, or train a head on these"
        )


def check_classes(run: Run, manifest: pa.Table) -> None:
    """Refuse a manifest that means something else by a task of the run.

    Raises:
        RunError: names the task and both lists of classes.
    """
    known = tasks_of(manifest)
    for task in run.tasks:
        classes = tuple(known.get(task.name, task.classes))
        if classes != task.classes:
            raise RunError(
                f"task {task.name!r} has the classes {', '.join(classes)} in the manifest, but {run.path} was trained "
                f"on {', '.join(task.classes)}: name another --manifest"
            )
