"""``fouls predict``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fouls.commands import console
from fouls.errors import ConfigError
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.heads.predictions import Predictions
    from fouls.heads.run_config import StoreReference

T = TypeVar("T")


def predict(
    run: Annotated[Path, typer.Argument(help="The run's folder, such as runs/videomae-mlp-1.")],
    videos: Annotated[list[str], typer.Argument(help="Video files.", metavar="VIDEO...")],
    one_sample: Annotated[
        bool, typer.Option("--one-sample", help="The videos are views of one sample, not a sample each.")
    ] = False,
    features: Annotated[
        list[Location] | None,
        typer.Option(
            parser=location,
            help="The store that the run was trained on, once a store of the run.",
            show_default="the run's",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the backbone's weights lie now, once a store of the run.", show_default="where they lay then"
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="Classes to print for each task.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="Of the backbone: cpu, cuda, cuda:1.")] = "cpu",
    json_output: Annotated[bool, typer.Option("--json", help="Print all probabilities as JSON.")] = False,
) -> None:
    """Classes for new videos: decode, backbone and head in one go.

    fouls predict runs/videomae-mlp-1 clip.mp4
    """
    from fouls.cache.store import open_store
    from fouls.heads.run import load_run
    from fouls.predict import load_run_backbone, predict_videos

    with console.err.status("loading the backbone"):
        loaded = load_run(run)
        trained_on = loaded.config.stores
        paths = _one_each(features, "--features", trained_on) or [_as_trained(store) for store in trained_on]
        weights_of: list[str] | list[None] = _one_each(weights, "--weights", trained_on) or [None] * len(trained_on)
        backbones = [
            load_run_backbone(open_store(path), weights=of_store, device=device)
            for path, of_store in zip(paths, weights_of, strict=True)
        ]
    result = predict_videos(loaded, backbones, videos, one_sample=one_sample)
    if json_output:
        answers = [_plain(prediction) for prediction in result.predictions]
        typer.echo(json.dumps({"tasks": answers, "failures": result.failures}))
    else:
        for prediction in result.predictions:
            _print(prediction, top)
        for video, reason in result.failures.items():
            console.warn(f"{video}: {reason}")
    if result.failures:
        raise typer.Exit(1)


def _as_trained(store: StoreReference) -> Location:
    place = location(store.path)
    if not isinstance(place, Path):
        raise ConfigError(
            f"the run was trained on {place}, and URLs are only asked for by name: add --features {place}"
        )
    return place


def _one_each(given: Sequence[T] | None, flag: str, stores: Sequence[StoreReference]) -> list[T]:
    """What was given for each store of the run; nothing where nothing was.

    Raises:
        ConfigError: given for some of them only.
    """
    if given and len(given) != len(stores):
        paths = ", ".join(store.path for store in stores)
        raise ConfigError(f"{flag} is given {len(given)} times, but the run was trained on {paths}: once for each")
    return list(given or ())


def _plain(prediction: Predictions) -> dict[str, Any]:
    frames = prediction.frames
    return {
        "task": prediction.task.name,
        "classes": list(prediction.task.classes),
        "samples": prediction.sample_ids.tolist(),
        "frames": None if frames is None else frames.tolist(),
        "probabilities": prediction.probabilities.tolist(),
    }


def _print(prediction: Predictions, top: int) -> None:
    names, per_frame = prediction.task.classes, prediction.frames is not None
    rows = []
    for index, probabilities in enumerate(prediction.probabilities):
        best = probabilities.argsort()[::-1][:top]
        frame = [int(prediction.frames[index])] if prediction.frames is not None else []
        rows.append(
            [
                prediction.sample_ids[index],
                *frame,
                ", ".join(f"{names[c]} {100 * probabilities[c]:.0f} %" for c in best),
            ]
        )
    columns = ["sample", *(["frame"] if per_frame else []), "classes"]
    console.table(prediction.task.name, columns, rows)
