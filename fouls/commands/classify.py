"""``fouls classify``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.pipeline.classify import Classifications

PretrainedSource = Literal["auto", "kinetics", "imagenet"]


def classify(
    videos: Annotated[list[str], typer.Argument(help="Video files.", metavar="VIDEO...")],
    backbone: Annotated[str, typer.Option(help="Its name; `fouls backbones` lists them.")],
    weights: Annotated[
        str | None,
        typer.Option(help="A hub id, a folder, or a file of a classifier.", show_default="the backbone's own"),
    ] = None,
    pretrained_source: Annotated[
        PretrainedSource, typer.Option(help="Which default weights, where there are several.")
    ] = "auto",
    frames: Annotated[int | None, typer.Option(help="Frames a clip, where the backbone leaves a choice.")] = None,
    top: Annotated[int, typer.Option(help="Classes to print for each video.", min=1)] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a checkpoint's own classifier sees: are weights, preprocessing and sampling right?

    One clip, spread evenly over each video, in fp32.

    fouls classify clip.mp4 --backbone videomae
    """
    from fouls.pipeline.backbones.loading import load_backbone
    from fouls.pipeline.classify import classify as run

    with console.err.status("loading the backbone"):
        loaded = load_backbone(
            backbone, weights=weights, device=device, pretrained_source=pretrained_source, num_frames=frames
        )
    for note in loaded.notes:
        console.warn(note)
    if loaded.weights.random_seed is not None:
        console.warn(f"the weights are made up ({weights}): these classes mean nothing")
    found = run(videos, loaded)
    if json_output:
        typer.echo(json.dumps(_plain(found, loaded.name, top)))
    else:
        _print(found, loaded.name, top)
        console.next_step(f"fouls extract --backbone {backbone} fills a store with its features")
        for video, reason in found.failures.items():
            console.warn(f"{video}: {reason}")
    if found.failures:
        raise typer.Exit(1)


def _plain(found: Classifications, backbone: str, top: int) -> dict[str, Any]:
    videos = {
        answer.video: [
            {"index": index, "class": found.classes[index], "probability": float(answer.probabilities[index])}
            for index in answer.best(top)
        ]
        for answer in found.videos
    }
    return {"backbone": backbone, "videos": videos, "failures": found.failures}


def _print(found: Classifications, backbone: str, top: int) -> None:
    rows = [
        [answer.video if rank == 0 else "", found.classes[index], f"{100 * answer.probabilities[index]:.1f} %"]
        for answer in found.videos
        for rank, index in enumerate(answer.best(top))
    ]
    if rows:
        console.table(backbone, ["video", "class", "probability"], rows)
