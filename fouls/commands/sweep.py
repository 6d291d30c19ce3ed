"""``fouls sweep``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.commands.scores import warn_of_mapped, warn_of_missing
from fouls.commands.train_head import resolve_options, take_data
from fouls.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fouls.heads.options import Plain
    from fouls.heads.sweep.candidates import Candidate
    from fouls.heads.sweep.grid import Point
    from fouls.heads.sweep.results import Result
    from fouls.heads.sweep.sweep import Sweep

_SWEPT, _DATA, _TRAINING, _RUN = "What varies (values with commas between them)", "Data", "Training", "Run"
_SHOWN = 10
_FLAGS = {
    "head": "--head",
    "train.lr": "--lr",
    "train.weight_decay": "--weight-decay",
    "loss.kind": "--loss",
    "train.seed": "--seed",
}
"""Option → what it is called on the command line."""


def _option(help_text: str, panel: str, *names: str) -> Any:
    """An option that is ``None`` where it is not given, so that a config file can say it."""
    return typer.Option(*names, help=help_text, show_default=False, rich_help_panel=panel)


def sweep(
    head: Annotated[str | None, _option("Heads, such as linear,mlp [mlp].", _SWEPT)] = None,
    lr: Annotated[str | None, _option("AdamW's learning rate, such as 1e-4,1e-3,1e-2 [0.001].", _SWEPT)] = None,
    weight_decay: Annotated[str | None, _option("AdamW's weight decay [0.05].", _SWEPT)] = None,
    loss: Annotated[str | None, _option("Losses, such as cross_entropy,focal [cross_entropy].", _SWEPT)] = None,
    seed: Annotated[str | None, _option("Seeds, such as 0,1,2 [0].", _SWEPT)] = None,
    grid: Annotated[
        list[str] | None,
        _option("Any option and its values, such as head.hidden=128,256 or loss.focal_gamma=1,2; repeatable.", _SWEPT),
    ] = None,
    features: Annotated[
        list[str] | None,
        _option("A store with features, such as cache/videomae; repeatable: they are concatenated.", _DATA),
    ] = None,
    manifest: Annotated[str | None, _option("The labels: a manifest, or a folder of them [manifests].", _DATA)] = None,
    pools: Annotated[list[str] | None, _option("As of fouls train-head.", _DATA, "--pool")] = None,
    tasks: Annotated[list[str] | None, _option("Learn this task; repeatable; default: all.", _DATA, "--task")] = None,
    train_split: Annotated[str | None, _option("Split to train on [train].", _DATA)] = None,
    valid_split: Annotated[str | None, _option("Split that the best is chosen on [valid].", _DATA)] = None,
    valid_fraction: Annotated[
        float | None, _option("Set this share of the train samples aside where there is no valid split.", _DATA)
    ] = None,
    augmented: Annotated[bool | None, _option("As of fouls train-head.", _DATA)] = None,
    pose: Annotated[str | None, _option("As of fouls train-head.", _DATA)] = None,
    epochs: Annotated[int | None, _option("At most [100].", _TRAINING)] = None,
    batch_size: Annotated[int | None, _option("Samples a step [64].", _TRAINING)] = None,
    patience: Annotated[
        int | None, _option("Stop after this many epochs without a better valid score [20].", _TRAINING)
    ] = None,
    device: Annotated[str | None, _option("auto, cpu, cuda or cuda:N [auto].", _TRAINING)] = None,
    config: Annotated[
        Path | None, _option("Options from a YAML file, as of fouls train-head, with a section sweep.", _RUN)
    ] = None,
    settings: Annotated[
        list[str] | None, _option("Any other option, the same for all; repeatable.", _RUN, "--set")
    ] = None,
    name: Annotated[str | None, _option("Default: STORE-sweep-NUMBER.", _RUN)] = None,
    out: Annotated[Path, typer.Option(help="Where runs lie.", rich_help_panel=_RUN)] = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sweep.", rich_help_panel=_RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.", rich_help_panel=_RUN)] = False,
) -> None:
    """Train many heads on one copy of the features, and keep the one that is best on valid.

    fouls sweep --features cache/videomae --head linear,mlp --lr 1e-4,1e-3,1e-2
    """
    given = {
        "features": features,
        "manifest": manifest,
        "pools": pools,
        "tasks": tasks,
        "train_split": train_split,
        "valid_split": valid_split,
        "augmented": augmented,
        "pose": pose,
        "device": device,
        "train.valid_fraction": valid_fraction,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.patience": patience,
    }
    lists = {"head": head, "train.lr": lr, "train.weight_decay": weight_decay, "loss.kind": loss, "train.seed": seed}
    asked, points = _points(config, given, lists, grid or [], settings or [])
    candidates = _candidates(points)
    _report_data(candidates, quiet=as_json)
    done, seconds = _train(candidates, asked, out=out, name=name, overwrite=overwrite)
    failed = [result for result in done.results if result.failure]
    for result in failed:
        console.warn(f"configuration {result.candidate.number} ({result.candidate.name}) failed: {result.failure}")
    if as_json:
        typer.echo(json.dumps(_plain(done), indent=2))
    else:
        _report(done, seconds)
    if failed:
        raise typer.Exit(1)


def _points(
    config: Path | None, given: Mapping[str, Any], lists: Mapping[str, str | None], grid: list[str], settings: list[str]
) -> tuple[Plain, list[tuple[Point, Plain]]]:
    """What was asked as one config, and the configurations: what each has of its own, and all its options.

    Args:
        config: a YAML file; what it says of the grid gives way to what was typed of the same option.
        given: dotted option → value, ``None`` where it was not typed.
        lists: likewise, values with commas between them; one value is for all.
        grid: ``NAME=VALUE,VALUE`` texts.
        settings: ``NAME=VALUE`` texts.
    """
    from fouls.heads.options import read_options
    from fouls.heads.sweep.grid import configure, make_points, parse_axis, parse_values, read_section

    base = {} if config is None else read_options(config)
    axes, runs = read_section(base.pop("sweep", None))
    typed = {option: parse_values(text, _FLAGS[option]) for option, text in lists.items() if text is not None}
    for text in grid:
        option, values = parse_axis(text)
        if option in typed:
            raise ConfigError(f"{option} is given twice: once is enough, with all its values")
        typed[option] = values
        given = {**given, option: None}
    single = {option: values[0] for option, values in typed.items() if option in lists and len(values) == 1}
    axes = {option: values for option, values in (axes | typed).items() if option not in single}
    for_all = {"head.name" if option == "head" else option: value for option, value in single.items()}
    of_all = resolve_options(None, {**given, **for_all}, settings)
    own = make_points(axes, runs)
    shared = configure(base, of_all, {})
    asked = {name: value for name, value in shared.items() if value != {}} | {"sweep": {"grid": axes, "runs": runs}}
    return asked, [(point, configure(base, of_all, point)) for point in own]


def _candidates(points: list[tuple[Point, Plain]]) -> list[Candidate]:
    from fouls.cache.store import open_store
    from fouls.heads.sweep.candidates import make_candidates
    from fouls.manifests.table import read_manifest

    data = [take_data(plain) for _, plain in points]
    stores, labels = data[0]
    return make_candidates([open_store(path) for path in stores], read_manifest(labels), points, manifest_path=labels)


def _train(
    candidates: list[Candidate], asked: Plain, *, out: Path, name: str | None, overwrite: bool
) -> tuple[Sweep, float]:
    """Train with a progress bar; gives the seconds too."""
    from fouls.heads.sweep.sweep import sweep as run_sweep

    start = time.perf_counter()
    epochs = sum(candidate.prepared.config.train.epochs for candidate in candidates)
    with console.progress("sweep", epochs, "epoch") as advance:
        done = run_sweep(candidates, asked=asked, out=out, name=name, overwrite=overwrite, on_epochs=advance)
    return done, time.perf_counter() - start


def _report_data(candidates: list[Candidate], *, quiet: bool) -> None:
    prepared = candidates[0].prepared
    warn_of_missing(prepared.coverage)
    warn_of_mapped(prepared.mapped_bytes)
    if not quiet:
        config = prepared.config
        read = " + ".join(store.path for store in config.stores)
        tasks = ", ".join(f"{task.name} ({len(task.classes)} classes)" for task in config.tasks)
        console.say(
            f"{len(candidates):,} configurations on {read}: {len(prepared.train):,} samples to train on, "
            f"{len(prepared.valid):,} to choose by; {tasks}; {config.device}"
        )


def _report(done: Sweep, seconds: float) -> None:
    names = list(done.results[0].candidate.varied)
    shown = [result for result in done.results if result.fit is not None][:_SHOWN]
    rows = [[result.candidate.number, *_cells(result, names)] for result in shown]
    title = (
        f"the best {len(shown)} of {len(done.results):,}" if len(shown) < len(done.results) else "all, the best first"
    )
    console.table(title, ["", *names, "score", "loss", "best epoch", "epochs"], rows)
    count = sum(result.at_once > 1 for result in done.results)
    at_once = f", {count:,} of them in stacks" if count else ""
    console.say(f"{len(done.results):,} configurations in {seconds:.1f} s{at_once} → {done.path}")
    best = done.best.run.path
    console.next_step(
        f"look at {done.path / 'results.png'}; or fouls evaluate {best}; or fouls train-head --config "
        f"{best / 'options.yaml'} to train the best again"
    )


def _cells(result: Result, names: list[str]) -> list[object]:
    from fouls.heads.sweep.candidates import as_text

    assert result.fit is not None
    assert result.score is not None
    varied = ["" if result.candidate.varied[name] is None else as_text(result.candidate.varied[name]) for name in names]
    line = result.fit.history[result.fit.best_epoch - 1]
    found = f"{100 * result.score:.1f} %", f"{line['valid/loss']:.4f}", result.fit.best_epoch, len(result.fit.history)
    return [*varied, *found]


def _plain(done: Sweep) -> dict[str, Any]:
    from fouls.heads.sweep.results import results_table

    rows = results_table(done.results).to_pylist()
    return {"sweep": str(done.path), "best": done.results[0].candidate.number, "run": str(done.best.run.path)} | {
        "configurations": rows
    }
