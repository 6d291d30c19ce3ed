"""``fouls evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.commands import console
from fouls.commands.scores import print_challenges, print_more_scores, print_scores, warn_of_mapped, warn_of_missing
from fouls.errors import ConfigError, RunError
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.heads.predictions import Predictions
    from fouls.heads.run import Run


def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run, such as runs/videomae-mlp-1, or of an ensemble.")],
    split: Annotated[str, typer.Option(help="Which samples.")] = "test",
    features: Annotated[
        list[Location] | None,
        typer.Option(
            parser=location,
            help="A store of the same spec, once a store of the run; default: the run's.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        Location | None,
        typer.Option(
            parser=location, help="The labels: a manifest, or a folder of them; default: the run's.", show_default=False
        ),
    ] = None,
    average_passes: Annotated[
        bool,
        typer.Option("--average-passes", help="Average over the plain and all augmented passes; default: the plain."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Measure a run on a split, and write predictions, pictures and challenge files into it.

    fouls evaluate runs/videomae-mlp-1 --split test
    """
    from fouls.cache.store import open_store
    from fouls.heads.determinism import choose_device
    from fouls.heads.ensemble.config import is_ensemble
    from fouls.heads.evaluate import evaluate as run_evaluation
    from fouls.heads.run import load_run
    from fouls.manifests.table import read_manifest

    if is_ensemble(run):
        from fouls.commands.ensemble import evaluate_ensemble

        if features or manifest or average_passes:
            raise ConfigError(f"{run} is an ensemble: --features, --manifest and --average-passes are for its runs")
        evaluate_ensemble(run, split, device, as_json=as_json)
        return
    loaded = load_run(run, choose_device(device))
    paths = features or [_as_trained(run, store.path, "--features") for store in loaded.config.stores]
    stores = [open_store(path) for path in paths]
    table = read_manifest(manifest or _as_trained(run, loaded.config.manifest.path, "--manifest"))
    result = run_evaluation(loaded, stores, table, split=split, average_passes=average_passes)
    warn_of_missing(result.coverage)
    warn_of_mapped(result.mapped_bytes)
    if as_json:
        plain = {"run": str(run), "split": split, "samples": result.num_samples, "tasks": result.scores}
        if result.keypoint_mae is not None:
            plain["keypoint_mae"] = result.keypoint_mae
        plain |= {"challenges": result.challenges, "files": [str(file) for file in result.files]}
        typer.echo(json.dumps(plain, indent=2))
        return
    labelled = {task: scores for task, scores in result.scores.items() if scores["labelled"]}
    if labelled:
        print_scores({split: labelled})
        print_more_scores({split: labelled})
    print_challenges(result.challenges)
    if result.keypoint_mae is not None:
        console.say(f"keypoints: mean absolute error {100 * result.keypoint_mae:.2f} % of width and height")
    for task in sorted(set(result.scores) - set(labelled)):
        console.warn(f"task {task!r} has no labels in split {split!r}: predictions only")
    console.say(f"{result.num_samples:,} samples → {', '.join(file.name for file in result.files)}")
    official = [
        f"fouls evaluate-mvfoul ANNOTATIONS.json {file}; or "
        for file in result.files
        if file.name == f"mvfoul_{split}.json"
    ]
    console.next_step(f"{''.join(official)}look at the pictures in {run}; or fouls predict {run} VIDEO")


def evaluate_as_trained(run: Run, split: str) -> list[Predictions]:
    """Measure a run on a split of what it was trained on, as ``fouls evaluate`` does, and say what is missing."""
    from fouls.cache.store import open_store
    from fouls.heads.evaluate import evaluate as run_evaluation
    from fouls.manifests.table import read_manifest

    stores = [open_store(_as_trained(run.path, store.path, "--features")) for store in run.config.stores]
    table = read_manifest(_as_trained(run.path, run.config.manifest.path, "--manifest"))
    result = run_evaluation(run, stores, table, split=split)
    warn_of_missing(result.coverage)
    warn_of_mapped(result.mapped_bytes)
    return result.predictions


def _as_trained(run: Path, path: str, option: str) -> Location:
    """What the run was trained on, if it is still there."""
    place = location(path)
    if not isinstance(place, Path):
        raise RunError(f"{run} was trained on {path}, and URLs are only asked for by name: add {option} {path}")
    if not place.exists():
        raise RunError(f"{run} was trained on {path}, which is not here: say where it is with {option}")
    return place
