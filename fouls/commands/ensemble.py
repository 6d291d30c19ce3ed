"""``fouls ensemble``, and what it shares with ``fouls evaluate`` of an ensemble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.commands import console
from fouls.commands.evaluate import evaluate_as_trained
from fouls.commands.scores import print_challenges, print_segments

if TYPE_CHECKING:
    from fouls.heads.ensemble.config import Ensemble, EnsembleConfig
    from fouls.heads.ensemble.evaluate import EnsembleEvaluation, Entry
    from fouls.heads.run import Run

_COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "mean_average_precision": "mAP",
    "ece": "ECE",
}
"""Score → how its column is called."""


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="The runs' folders, two at least.")],
    weights: Annotated[
        str, typer.Option(help="fitted: task by task, on valid; equal; or one a run, such as 0.5,0.3,0.2.")
    ] = "fitted",
    valid_split: Annotated[str, typer.Option(help="Split that the weights are fitted on.")] = "valid",
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Measure on this split; repeatable; default: the one that the weights are fitted on, which comes "
            "first in any case.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Default: ensemble-NUMBER.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Where it goes.")] = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an ensemble.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print weights and metrics as JSON.")] = False,
) -> None:
    """Average the probabilities of several runs, with weights found on valid.

    fouls ensemble runs/videomae-mlp-1 runs/mvit-vars-1 --split test
    """
    from fouls.heads.determinism import choose_device
    from fouls.heads.ensemble.make import choose_weights, parse_weighting, write_ensemble
    from fouls.heads.ensemble.members import check_members
    from fouls.heads.run import load_run

    weighting = parse_weighting(weights)
    check_members(runs)
    loaded = [load_run(run, choose_device(device)) for run in runs]
    config = choose_weights(loaded, weighting, split=valid_split, evaluate=evaluate_as_trained)
    wanted = [*([valid_split] if config.fitted_on or not splits else []), *(splits or [])]
    made = write_ensemble(config, out=out, name=name, overwrite=overwrite)
    if not as_json:
        _say_what_it_is(config)
    results = []
    for split in dict.fromkeys(wanted):
        results.append(measure(made, loaded, split, quiet=as_json))
        if split == valid_split:  # whether to use it at all is no question for test
            _warn_of_better_runs(results[-1])
    if as_json:
        typer.echo(json.dumps({"ensemble": str(made.path), **config.to_dict(), "splits": _by_split(results)}, indent=2))
        return
    again = f"fouls evaluate {made.path} --split {'SPLIT' if 'test' in wanted else 'test'}"
    console.next_step(f"{again}; or look at the pictures in {made.path}")


def measure(ensemble: Ensemble, runs: Sequence[Run], split: str, *, quiet: bool = False) -> EnsembleEvaluation:
    """Measure an ensemble on a split and say what came of it; ``quiet``: only notes, on stderr."""
    from fouls.heads.ensemble.evaluate import evaluate_ensemble

    result = evaluate_ensemble(ensemble, runs, split=split, evaluate=evaluate_as_trained)
    _warn_of_missing(result)
    labelled = {task: scores for task, scores in result.scores.items() if scores["labelled"]}
    for task in sorted(set(result.scores) - set(labelled)):
        console.warn(f"task {task!r} has no labels in split {split!r}: predictions only")
    if quiet:
        return result
    if result.read:
        files = ", ".join(map(str, result.read.values()))
        console.say(f"{split}: read {files}")
    for task in labelled:
        _print_comparison(f"{task}, {split}", result.compared[task])
    if labelled:
        print_segments({split: labelled})
    print_challenges(result.challenges)
    names = ", ".join(file.name for file in result.files)
    console.say(f"{result.num_samples:,} samples → {ensemble.path}: {names}")
    return result


def evaluate_ensemble(path: Path, split: str, device: str, *, as_json: bool) -> None:
    """``fouls evaluate`` of an ensemble."""
    from fouls.heads.determinism import choose_device
    from fouls.heads.ensemble.config import load_ensemble
    from fouls.heads.ensemble.evaluate import load_members, metrics_of
    from fouls.heads.run import load_run

    where = choose_device(device)
    loaded = load_ensemble(path)
    runs = load_members(loaded, lambda run: load_run(run, where))
    result = measure(loaded, runs, split, quiet=as_json)
    if as_json:
        files = [str(file) for file in result.files]
        typer.echo(json.dumps({"ensemble": str(path), **metrics_of(result), "files": files}, indent=2))
        return
    console.next_step(f"look at the pictures in {path}")


def _by_split(results: Sequence[EnsembleEvaluation]) -> dict[str, object]:
    from fouls.heads.ensemble.evaluate import metrics_of

    return {result.split: metrics_of(result) for result in results}


def _say_what_it_is(config: EnsembleConfig) -> None:
    for task, runs in config.left_out.items():
        console.warn(f"task {task!r} is left out: {', '.join(runs)} {'lacks' if len(runs) == 1 else 'lack'} it")
    for task, weights in config.weights.items():
        parts = [f"{weight:.3f} {member.run}" for weight, member in zip(weights, config.members, strict=True)]
        how = f"fitted on {config.fitted_on}" if config.fitted_on else "given"
        console.say(f"{task}, {how}: {' + '.join(parts)}")


def _warn_of_missing(result: EnsembleEvaluation) -> None:
    """Say what some runs lack; tasks of which the same is true are named together."""
    said: dict[str, list[str]] = {}
    for predictions in result.predictions:
        task, count = predictions.task, len(predictions.labels)
        unit = "frames" if task.per_frame else "samples"
        for run, lacking in result.missing[task.name].items():
            text = f"{run} has no predictions of {lacking:,} of {count:,} {unit} of split {result.split!r}"
            said.setdefault(text, []).append(task.name)
    for text, tasks in said.items():
        console.warn(f"{text} ({', '.join(tasks)}): other runs predict them; runs are compared on what all have")


def _warn_of_better_runs(result: EnsembleEvaluation) -> None:
    for task, best in result.not_better().items():
        own = result.compared[task][-1].deciding_score
        assert own is not None
        assert best.deciding_score is not None
        measured = "balanced accuracy" if "balanced_accuracy" in best.scores else "mean average precision"
        console.warn(
            f"task {task!r}: the ensemble is not better than {best.name} on {result.split}: {measured} "
            f"{100 * own:.1f} % beside {100 * best.deciding_score:.1f} %"
        )


def _print_comparison(title: str, entries: Sequence[Entry]) -> None:
    """One line a run, and one for the ensemble; measures that the task does not have are left out."""
    found = [name for name in _COLUMNS if entries[0].scores.get(name) is not None]
    rows = [
        [
            entry.name,
            "" if entry.weight is None else f"{entry.weight:.3f}",
            *(f"{100 * entry.scores[name]:.1f}" for name in found),
            "" if entry.negative_log_likelihood is None else f"{entry.negative_log_likelihood:.4f}",
        ]
        for entry in entries
    ]
    names = ["run", "weight", *(_COLUMNS[name] for name in found), "NLL"]
    console.table(f"{title}, in %; NLL: negative log-likelihood, in nats", names, rows)
