"""``fouls train-head``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.commands.scores import print_scores, warn_of_mapped, warn_of_missing
from fouls.errors import ConfigError
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    import pyarrow as pa

    from fouls.heads.options import Plain
    from fouls.heads.prepare import Prepared
    from fouls.heads.run_options import RunOptions
    from fouls.heads.train_head import Trained

_DATA, _HEAD, _TRAINING, _RUN = "Data", "Head", "Training", "Run"


def _option(help_text: str, panel: str, *names: str, default: str | None = None) -> Any:
    """An option that is ``None`` where it is not given, so that a config file can say it."""
    shown = f"{help_text.rstrip('.')} [{default}]." if default is not None else help_text
    return typer.Option(*names, help=shown, show_default=False, rich_help_panel=panel)


def train_head(
    features: Annotated[
        list[str] | None,
        _option("A store with features, such as cache/videomae; repeatable: they are concatenated.", _DATA),
    ] = None,
    manifest: Annotated[
        str | None, _option("The labels: a manifest, or a folder of them", _DATA, default="manifests")
    ] = None,
    pools: Annotated[
        list[str] | None,
        _option(
            "Which features of the store, once or once a store; default: its only pool, or what the head rather reads, "
            "or the backbone's own (mean, cls).",
            _DATA,
            "--pool",
        ),
    ] = None,
    tasks: Annotated[list[str] | None, _option("Learn this task; repeatable; default: all.", _DATA, "--task")] = None,
    train_split: Annotated[str | None, _option("Split to train on", _DATA, default="train")] = None,
    valid_split: Annotated[str | None, _option("Split that decides when to stop", _DATA, default="valid")] = None,
    valid_fraction: Annotated[
        float | None,
        _option(
            "Set this share of the train samples aside where there is no valid split; 0: train all epochs",
            _DATA,
            default="0",
        ),
    ] = None,
    augmented: Annotated[
        bool | None,
        _option("Every epoch takes a random augmented pass of each sample (fouls extract --augment).", _DATA),
    ] = None,
    pose: Annotated[
        str | None,
        _option("Add features of the manifest's keypoints, frame by frame: mouse or coordinates.", _DATA),
    ] = None,
    head: Annotated[str | None, _option("See docs/heads.md", _HEAD, default="mlp")] = None,
    hidden: Annotated[int | None, _option("Width of the hidden layers.", _HEAD)] = None,
    dropout: Annotated[float | None, _option("Before the outputs, at least.", _HEAD)] = None,
    view_pooling: Annotated[
        str | None,
        _option("How the views, crops and clips of a sample become one: mean, max, attention.", _HEAD),
    ] = None,
    time_pooling: Annotated[str | None, _option("How time steps become one: mean, std, mean_std, max.", _HEAD)] = None,
    project: Annotated[int | None, _option("Bring each store's features to this width first.", _HEAD)] = None,
    standardise: Annotated[
        bool | None,
        _option(
            "Scale inputs by the train split's mean and spread, or not",
            _HEAD,
            "--standardise/--no-standardise",
            default="standardise",
        ),
    ] = None,
    epochs: Annotated[int | None, _option("At most", _TRAINING, default="100")] = None,
    lr: Annotated[float | None, _option("AdamW's learning rate", _TRAINING, default="0.001")] = None,
    weight_decay: Annotated[float | None, _option("AdamW's weight decay", _TRAINING, default="0.05")] = None,
    batch_size: Annotated[int | None, _option("Samples a step", _TRAINING, default="64")] = None,
    patience: Annotated[
        int | None, _option("Stop after this many epochs without a better valid score", _TRAINING, default="20")
    ] = None,
    loss: Annotated[
        str | None,
        _option(
            "cross_entropy, focal, bce, soft_f1, cross_entropy_soft_f1, arcface, arcface_published; see docs/losses.md",
            _TRAINING,
            default="cross_entropy",
        ),
    ] = None,
    class_weights: Annotated[
        str | None,
        _option("none, balanced, inverse, sqrt_inverse or effective_number", _TRAINING, default="balanced"),
    ] = None,
    max_class_weight: Annotated[float | None, _option("No class weighs more", _TRAINING, default="10")] = None,
    label_smoothing: Annotated[
        float | None, _option("Share of the target spread over all classes", _TRAINING, default="0.1")
    ] = None,
    mixup: Annotated[float | None, _option("α of mixup on features; 0: off", _TRAINING, default="0")] = None,
    ema: Annotated[
        float | None,
        _option("Decay of the moving average of the weights; 0: off", _TRAINING, default="0"),
    ] = None,
    sampling: Annotated[
        str | None,
        _option("Samples an epoch: shuffle, balanced or sqrt (by class)", _TRAINING, default="shuffle"),
    ] = None,
    seed: Annotated[int | None, _option("The same seed gives the same run", _TRAINING, default="0")] = None,
    device: Annotated[str | None, _option("auto, cpu, cuda or cuda:N", _TRAINING, default="auto")] = None,
    config: Annotated[
        Path | None,
        _option("Options from a YAML file, such as a run's options.yaml; those typed here come on top.", _RUN),
    ] = None,
    settings: Annotated[
        list[str] | None,
        _option(
            "Any other option, such as head.num_stages=3, train.warmup_epochs=5, loss.by_task.foul.kind=focal; "
            "repeatable; see docs/heads.md and docs/losses.md.",
            _RUN,
            "--set",
        ),
    ] = None,
    name: Annotated[str | None, _option("Default: STORE-HEAD-NUMBER.", _RUN)] = None,
    out: Annotated[Path, typer.Option(help="Where runs lie.", rich_help_panel=_RUN)] = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run.", rich_help_panel=_RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.", rich_help_panel=_RUN)] = False,
) -> None:
    """Train a head on cached features: all tasks of the manifest at once, in seconds.

    fouls train-head --features cache/videomae
    """
    from fouls.cache.store import open_store
    from fouls.heads.prepare import prepare
    from fouls.heads.run_options import RunOptions
    from fouls.manifests.table import read_manifest

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
        "head.name": head,
        "head.hidden": hidden,
        "head.dropout": dropout,
        "head.view_pooling": view_pooling,
        "head.time_pooling": time_pooling,
        "head.project": project,
        "head.standardise": standardise,
        "train.valid_fraction": valid_fraction,
        "train.epochs": epochs,
        "train.lr": lr,
        "train.weight_decay": weight_decay,
        "train.batch_size": batch_size,
        "train.patience": patience,
        "train.ema_decay": ema,
        "train.sampling": sampling,
        "train.seed": seed,
        "train.mixing.mixup_alpha": mixup,
        "loss.kind": loss,
        "loss.class_weights": class_weights,
        "loss.max_class_weight": max_class_weight,
        "loss.label_smoothing": label_smoothing,
    }
    plain = resolve_options(config, given, settings or [])
    stores, labels = take_data(plain)
    options = RunOptions.from_dict(plain)
    table = read_manifest(labels)
    prepared = prepare([open_store(path) for path in stores], table, options, manifest_path=labels)
    _report_data(prepared, options, quiet=as_json)
    trained, seconds = _train(prepared, out=out, name=name, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"run": str(trained.run.path), **trained.metrics}, indent=2))
        return
    _report_training(trained, seconds)
    print_scores(trained.scores)
    console.next_step(_next_step(trained, table))


def resolve_options(config: Path | None, given: Mapping[str, Any], settings: list[str]) -> Plain:
    """The options of a config file, with those that were typed on top: first the flags, then ``--set``.

    Args:
        config: a YAML file.
        given: dotted name → value, ``None`` where it was not typed.
        settings: ``NAME=VALUE`` texts.

    Raises:
        ConfigError: the file or a setting can't be read.
    """
    from fouls.heads.options import merge, nested, parse_settings, read_options

    plain = {} if config is None else read_options(config)
    if isinstance(plain.get("head"), str):
        plain["head"] = {"name": plain["head"]}
    typed = dict(given)
    if typed.get("head.name") not in (None, (plain.get("head") or {}).get("name")):
        plain["head"] = {}  # another head has other options
    for option, value in typed.items():
        if value is not None:
            plain = merge(plain, nested(option, value))
    return merge(plain, parse_settings(settings))


def take_data(plain: Plain) -> tuple[list[Location], Location]:
    """Take the paths of the stores and of the manifest out of the options.

    Raises:
        ConfigError: no store is named.
    """
    features = plain.pop("features", None)
    if not features:
        raise ConfigError("--features is missing: name the store with the features, such as cache/videomae")
    stores = [features] if isinstance(features, str) else list(features)
    return [location(store) for store in stores], location(plain.pop("manifest", "manifests"))


def _train(prepared: Prepared, *, out: Path, name: str | None, overwrite: bool) -> tuple[Trained, float]:
    """Train with a progress bar; gives the seconds too."""
    from fouls.heads.train_head import train_head as run_training

    start = time.perf_counter()
    with console.progress("train", prepared.config.train.epochs, "epoch") as advance:
        trained = run_training(prepared, out=out, name=name, overwrite=overwrite, on_epoch=lambda _: advance(1))
    return trained, time.perf_counter() - start


def _report_data(prepared: Prepared, options: RunOptions, *, quiet: bool) -> None:
    warn_of_missing(prepared.coverage)
    warn_of_mapped(prepared.mapped_bytes)
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
        console.say(
            f"{head_name(config.head)} on {read}: {len(prepared.train):,} samples to train on{watched}; "
            f"{tasks}; {config.device}"
        )


def _report_training(trained: Trained, seconds: float) -> None:
    result = trained.fit
    epochs = f"{len(result.history)} epochs" + (" (stopped early)" if result.stopped_early else "")
    best = f", best: {result.best_epoch}" if len(trained.scores) > 1 else ""
    console.say(f"{trained.metrics['parameters']:,} parameters, {epochs}{best}, {seconds:.1f} s → {trained.run.path}")


def _next_step(trained: Trained, manifest: pa.Table) -> str:
    splits = manifest["split"].unique().to_pylist()
    left = [split for split in splits if split and split not in trained.scores]
    split = "test" if "test" in left else left[0] if left else None
    look = f"tensorboard --logdir {trained.run.path.parent}"
    if split is None:
        return f"{look}; or fouls predict {trained.run.path} VIDEO"
    return f"fouls evaluate {trained.run.path} --split {split}; or {look}"
