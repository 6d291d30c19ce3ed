"""``fouls train-head`` and ``fouls evaluate``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa

    from fouls.heads.coverage import Coverage
    from fouls.heads.prepare import Prepared, RunOptions
    from fouls.heads.report import SplitScores
    from fouls.heads.train_head import Trained

_DATA, _HEAD, _TRAINING, _RUN = "Data", "Head", "Training", "Run"
_COLUMNS = ("task", "split", "labels", "accuracy", "chance", "balanced", "chance", "macro F1")


def train_head(
    features: Annotated[
        list[Path],
        typer.Option(
            help="The store with the features, such as cache/videomae; repeatable: features are concatenated.",
            rich_help_panel=_DATA,
        ),
    ],
    manifest: Annotated[
        Path, typer.Option(help="The labels: a manifest, or a folder of them.", rich_help_panel=_DATA)
    ] = Path("manifests"),
    pools: Annotated[
        list[str] | None,
        typer.Option(
            "--pool",
            help="Which features of the store, once or once a store; default: its only pool, or what the head rather "
            "reads, or the backbone's own (mean, cls).",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task", help="Learn this task; repeatable; default: all.", show_default=False, rich_help_panel=_DATA
        ),
    ] = None,
    train_split: Annotated[str, typer.Option(help="Split to train on.", rich_help_panel=_DATA)] = "train",
    valid_split: Annotated[str, typer.Option(help="Split that decides when to stop.", rich_help_panel=_DATA)] = "valid",
    valid_fraction: Annotated[
        float,
        typer.Option(
            help="Set this share of the train samples aside where there is no valid split; 0: train all epochs.",
            rich_help_panel=_DATA,
        ),
    ] = 0.0,
    head: Annotated[str, typer.Option(help="linear, mlp or tcn.", rich_help_panel=_HEAD)] = "mlp",
    hidden: Annotated[
        int | None,
        typer.Option(help="Width of mlp (default 256) or tcn (128).", show_default=False, rich_help_panel=_HEAD),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Default: 0.3.", show_default=False, rich_help_panel=_HEAD)
    ] = None,
    view_pooling: Annotated[
        str | None,
        typer.Option(
            help="How the views, crops and clips of a sample become one: mean (default), max, attention.",
            show_default=False,
            rich_help_panel=_HEAD,
        ),
    ] = None,
    time_pooling: Annotated[
        str | None,
        typer.Option(
            help="How time steps become one: mean, std, mean_std, max; before linear and mlp (default: mean_std where "
            "there are several steps), after the blocks of tcn (default: mean).",
            show_default=False,
            rich_help_panel=_HEAD,
        ),
    ] = None,
    standardise: Annotated[
        bool, typer.Option(help="Scale inputs by the train split's mean and spread.", rich_help_panel=_HEAD)
    ] = True,
    epochs: Annotated[int, typer.Option(help="At most.", rich_help_panel=_TRAINING)] = 100,
    lr: Annotated[float, typer.Option(help="AdamW's learning rate.", rich_help_panel=_TRAINING)] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.", rich_help_panel=_TRAINING)] = 0.05,
    batch_size: Annotated[int, typer.Option(help="Samples a step.", rich_help_panel=_TRAINING)] = 64,
    patience: Annotated[
        int, typer.Option(help="Stop after this many epochs without a better valid score.", rich_help_panel=_TRAINING)
    ] = 20,
    class_weights: Annotated[
        str, typer.Option(help="none, balanced, inverse or sqrt_inverse.", rich_help_panel=_TRAINING)
    ] = "balanced",
    max_class_weight: Annotated[float, typer.Option(help="No class weighs more.", rich_help_panel=_TRAINING)] = 10.0,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all classes.", rich_help_panel=_TRAINING)
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.", rich_help_panel=_TRAINING)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=_TRAINING)] = "auto",
    name: Annotated[
        str | None,
        typer.Option(help="Default: STORE-HEAD-NUMBER.", show_default=False, rich_help_panel=_RUN),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs lie.", rich_help_panel=_RUN)] = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run.", rich_help_panel=_RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.", rich_help_panel=_RUN)] = False,
) -> None:
    """Train a head on cached features: all tasks of the manifest at once, in seconds.

    fouls train-head --features cache/videomae
    """
    from fouls.cache.store import open_store
    from fouls.heads.losses import LossConfig
    from fouls.heads.prepare import RunOptions, prepare
    from fouls.heads.registry import make_head_config
    from fouls.heads.train import TrainConfig
    from fouls.manifests.table import read_manifest

    given = {"hidden": hidden, "dropout": dropout, "view_pooling": view_pooling, "time_pooling": time_pooling}
    options = RunOptions(
        head=make_head_config(head, {**given, "standardise": standardise}),
        train=TrainConfig(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            patience=patience,
            valid_fraction=valid_fraction,
            seed=seed,
        ),
        loss=LossConfig(
            class_weights=class_weights,  # type: ignore[arg-type]  # checked there
            max_class_weight=max_class_weight,
            label_smoothing=label_smoothing,
        ),
        pools=tuple(pools or ()),
        tasks=tuple(tasks or ()),
        train_split=train_split,
        valid_split=valid_split,
        device=device,
    )
    table = read_manifest(manifest)
    prepared = prepare([open_store(path) for path in features], table, options, manifest_path=manifest)
    _report_data(prepared, options, quiet=as_json)
    trained, seconds = _train(prepared, out=out, name=name, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"run": str(trained.run.path), **trained.metrics}, indent=2))
        return
    _report_training(trained, seconds)
    _print_scores(trained.scores)
    console.next_step(_next_step(trained, table))


def _train(prepared: Prepared, *, out: Path, name: str | None, overwrite: bool) -> tuple[Trained, float]:
    """Train with a progress bar; gives the seconds too."""
    from fouls.heads.train_head import train_head as run_training

    start = time.perf_counter()
    with console.progress("train", prepared.config.train.epochs, "epoch") as advance:
        trained = run_training(prepared, out=out, name=name, overwrite=overwrite, on_epoch=lambda _: advance(1))
    return trained, time.perf_counter() - start


def _report_data(prepared: Prepared, options: RunOptions, *, quiet: bool) -> None:
    _warn_of_missing(prepared.coverage)
    config = prepared.config
    if not len(prepared.valid):
        console.warn(
            f"no labelled samples in split {options.valid_split!r}: all {config.train.epochs} epochs are trained, "
            "without early stopping (--valid-fraction 0.2 sets samples aside)"
        )
    if not quiet:
        from fouls.heads.registry import head_name

        read = " + ".join(
            f"{store.path}, pool {store.pool} ({' × '.join(map(str, store.pool_shape))})" for store in config.stores
        )
        watched = f", {len(prepared.valid):,} to watch" if len(prepared.valid) else ""
        tasks = ", ".join(f"{task.name} ({len(task.classes)} classes)" for task in config.tasks)
        console.out.print(
            f"{head_name(config.head)} on {read}: {len(prepared.train):,} samples to train on{watched}; "
            f"{tasks}; {config.device}"
        )


def _report_training(trained: Trained, seconds: float) -> None:
    result = trained.fit
    epochs = f"{len(result.history)} epochs" + (" (stopped early)" if result.stopped_early else "")
    best = f", best: {result.best_epoch}" if len(trained.scores) > 1 else ""
    console.out.print(
        f"{trained.metrics['parameters']:,} parameters, {epochs}{best}, {seconds:.1f} s → {trained.run.path}"
    )


def _next_step(trained: Trained, manifest: pa.Table) -> str:
    splits = manifest["split"].unique().to_pylist()
    left = [split for split in splits if split and split not in trained.scores]
    split = "test" if "test" in left else left[0] if left else None
    look = f"tensorboard --logdir {trained.run.path.parent}"
    if split is None:
        return f"{look}; or fouls predict {trained.run.path} VIDEO"
    return f"fouls evaluate {trained.run.path} --split {split}; or {look}"


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run's folder, such as runs/videomae-mlp-1.")],
    split: Annotated[str, typer.Option(help="Which samples.")] = "test",
    features: Annotated[
        list[Path] | None,
        typer.Option(help="A store of the same spec, once a store of the run; default: the run's.", show_default=False),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="The labels: a manifest, or a folder of them; default: the run's.", show_default=False),
    ] = None,
    average_passes: Annotated[
        bool,
        typer.Option("--average-passes", help="Average over the plain and all augmented passes; default: the plain."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Measure a run on a split, and write predictions, confusion matrices and challenge files into it.

    fouls evaluate runs/videomae-mlp-1 --split test
    """
    from fouls.cache.store import open_store
    from fouls.heads.determinism import choose_device
    from fouls.heads.evaluate import evaluate as run_evaluation
    from fouls.heads.run import load_run
    from fouls.manifests.table import read_manifest

    loaded = load_run(run, choose_device(device))
    paths = features or [_as_trained(run, store.path, "--features") for store in loaded.config.stores]
    stores = [open_store(path) for path in paths]
    table = read_manifest(manifest or _as_trained(run, loaded.config.manifest.path, "--manifest"))
    result = run_evaluation(loaded, stores, table, split=split, average_passes=average_passes)
    _warn_of_missing(result.coverage)
    if as_json:
        plain = {"run": str(run), "split": split, "samples": result.num_samples, "tasks": result.scores}
        typer.echo(json.dumps({**plain, "files": [str(file) for file in result.files]}, indent=2))
        return
    labelled = {task: scores for task, scores in result.scores.items() if scores["labelled"]}
    if labelled:
        _print_scores({split: labelled})
    for task in sorted(set(result.scores) - set(labelled)):
        console.warn(f"task {task!r} has no labels in split {split!r}: predictions only")
    console.out.print(f"{result.num_samples:,} samples → {', '.join(file.name for file in result.files)}")
    console.next_step(f"look at the pictures in {run}; or fouls predict {run} VIDEO")


def _as_trained(run: Path, path: str, option: str) -> Path:
    """What the run was trained on, if it is still there."""
    if not Path(path).exists():
        raise RunError(f"{run} was trained on {path}, which is not here: say where it is with {option}")
    return Path(path)


def _warn_of_missing(coverage: Coverage) -> None:
    missing = coverage.describe()
    if missing:
        console.warn(missing)


def _print_scores(by_split: dict[str, SplitScores]) -> None:
    """One line a task and split, each measure beside what a guess would get."""
    rows = [
        _score_row(task, split, scores)
        for task in next(iter(by_split.values()))
        for split, by_task in by_split.items()
        if (scores := by_task[task])["labelled"]
    ]
    has_top5 = any(len(row) > len(_COLUMNS) for row in rows)
    columns = [*_COLUMNS, "top-5"] if has_top5 else list(_COLUMNS)
    filled = [row + [None] * (len(columns) - len(row)) for row in rows]
    console.table("in %; balanced: mean over classes; chance: a guess that does not look", columns, filled)


def _score_row(task: str, split: str, scores: dict[str, Any]) -> list[Any]:
    chance = scores["chance"]
    shares = [scores["accuracy"], chance["accuracy"], scores["balanced_accuracy"], chance["balanced_accuracy"]]
    shares += [scores["macro_f1"], *([scores["top5_accuracy"]] if "top5_accuracy" in scores else [])]
    return [task, split, scores["labelled"], *(f"{100 * share:5.1f}" for share in shares)]
