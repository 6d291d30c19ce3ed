"""``fouls bench``: how fast each stage of an extraction is, and the whole; and how exact."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.cache.spec import Precision
from fouls.commands import console
from fouls.commands.extract import PretrainedSource
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.pipeline.benchmark.bench import BenchOptions
    from fouls.pipeline.benchmark.effort import Effort
    from fouls.pipeline.benchmark.parity import Parity
    from fouls.pipeline.benchmark.result import BenchResult

WHAT, HOW = "What", "How"


def bench(
    backbone: Annotated[str, typer.Option(help="Its name; `fouls backbones` lists them.", rich_help_panel=WHAT)],
    weights: Annotated[
        str | None,
        typer.Option(
            help="A hub id, a folder, a file, or random:SEED. They change no speed, but what --parity finds.",
            show_default="random:0; with --parity the published ones",
            rich_help_panel=WHAT,
        ),
    ] = None,
    pretrained_source: Annotated[
        PretrainedSource, typer.Option(help="Which published weights, where there are several.", rich_help_panel=WHAT)
    ] = "auto",
    pool: Annotated[
        list[str] | None, typer.Option(help="How tokens become a feature; may be repeated.", rich_help_panel=WHAT)
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames a clip, where the backbone leaves a choice.", rich_help_panel=WHAT)
    ] = None,
    manifest: Annotated[
        Location | None,
        typer.Option(
            parser=location,
            help="Videos to measure on: one manifest, or a folder of them.",
            show_default="clips that it makes",
            rich_help_panel=WHAT,
        ),
    ] = None,
    videos: Annotated[
        int | None,
        typer.Option(
            help="How many: of a manifest its first ones.",
            show_default="as many as fit into the time",
            rich_help_panel=WHAT,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1.", show_default="a GPU if there is one", rich_help_panel=HOW)
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the forward pass.", show_default="bf16 where it is multiplied natively", rich_help_panel=HOW
        ),
    ] = None,
    decode_resize: Annotated[
        int | None,
        typer.Option(
            help="Scale larger pictures as they are decoded, their short side to SIZE pixels.",
            metavar="SIZE",
            show_default="as they are",
            rich_help_panel=WHAT,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Clips a forward pass.", show_default="as extract chooses it", rich_help_panel=HOW),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Send the forward pass through torch.compile.", rich_help_panel=HOW)
    ] = False,
    decoder: Annotated[
        str, typer.Option(help="auto (pyav), pyav, decord, torchcodec, cuda.", rich_help_panel=HOW)
    ] = "auto",
    decode_workers: Annotated[
        int | None,
        typer.Option(help="Decoding processes.", show_default="as extract chooses it", rich_help_panel=HOW),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="How often each stage is measured.", show_default="5, fewer for want of time", rich_help_panel=HOW
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="How long it may take, about; a slow backbone may need more.", rich_help_panel=HOW)
    ] = 60.0,
    parity: Annotated[
        bool,
        typer.Option(
            "--parity", help="Measure no speed, but how far features are from the plain ones.", rich_help_panel=HOW
        ),
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=HOW)] = False,
) -> None:
    """Measure each stage of an extraction alone, then the whole of it, and say what holds it up.

    fouls bench --backbone videomae

    fouls bench --backbone videomae --parity --weights MCG-NJU/videomae-base
    """
    from fouls.pipeline.benchmark.bench import BenchOptions
    from fouls.pipeline.options import ExecutorOptions, ExtractOptions

    options = BenchOptions(
        extract=ExtractOptions(
            backbone=backbone,
            weights=weights or (None if parity or pretrained_source != "auto" else "random:0"),
            pretrained_source=pretrained_source,
            num_frames=frames,
            pools=tuple(pool or ()),
            precision=precision,
            decode_resize=decode_resize,
            manifest=manifest or Path("manifests"),
            executor=ExecutorOptions(device=device),
            batch_size=batch_size,
            compile=compile_,
            decoder=decoder,
            decode_workers=decode_workers,
        ),
        own_clips=manifest is None,
        videos=videos,
        repeats=repeats,
        seconds=seconds,
    )
    if parity:
        _compare(options, json_output=json_output)
    else:
        _measure(options, json_output=json_output)


def _measure(options: BenchOptions, *, json_output: bool) -> None:
    from fouls.pipeline.benchmark.bench import bench as run

    with console.err.status("") as status:
        result = run(options, on_stage=status.update, on_tuned=console.warn, on_effort=_announce)
    if json_output:
        typer.echo(json.dumps(result.to_dict()))
        return
    _print_stages(result)
    _print_facts(result)
    for sentence in result.advice:
        console.next_step(sentence)


def _announce(effort: Effort) -> None:
    console.warn(
        f"measuring {effort.num_videos} video{'s' * (effort.num_videos > 1)} {effort.repeats} "
        f"time{'s' * (effort.repeats > 1)}: about {max(1.0, effort.seconds):.0f} s"
    )


def _print_stages(result: BenchResult) -> None:
    stages = [
        ("decoding", result.decoding.alone("read")),
        ("preprocessing", result.decoding.alone("preprocess")),
        ("forward", result.forward),
        ("writing", result.writing),
        ("extract", result.extract),
    ]
    clips, repeats = result.extract.num_clips, len(result.extract.seconds)
    console.say(
        f"{result.backbone} in {result.precision} on {result.device}, {result.batch_size} "
        f"clip{'s' * (result.batch_size > 1)} at once; "
        f"{result.decoding.workers} of {result.cores} cores decode; {clips} clips, {repeats} time{'s' * (repeats > 1)}"
    )
    console.table(
        "each stage alone, and the whole of extract",
        ["stage", "clips/s, median", "slowest", "fastest", "ms a clip"],
        [[name, t.clips_per_second, t.slowest, t.fastest, 1e3 * t.seconds_a_clip] for name, t in stages],
    )


def _print_facts(result: BenchResult) -> None:
    rule = "slowest stage" if result.on_gpu else "forward + decoding by cores"
    rows = [
        [f"limit: {rule}", f"{result.limit:.4g} clips/s"],
        ["extract by limit", f"{result.of_limit:.1%}"],
        ["extract by forward", f"{result.of_forward:.1%}"],
        ["matrix product, 4096³", f"{result.peak_flops / 1e9:,.0f} GFLOP/s"],
    ]
    if result.flops is not None and result.of_peak is not None:
        rows.append(["forward", f"{result.flops / 1e9:,.0f} GFLOP/s, {result.of_peak:.0%} of the product's"])
    if result.on_gpu:
        rows.append(["decoding as fast as forward", f"{result.decoding_cores:.3g} cores"])
    if result.compile_seconds is not None:
        rows.append(["compiling, once", f"{result.compile_seconds:.3g} s"])
    rows.append(["bottleneck", result.bottleneck])
    console.table("what follows", ["", ""], rows)


def _compare(options: BenchOptions, *, json_output: bool) -> None:
    from fouls.pipeline.benchmark.bench import check_parity

    with console.err.status("") as status:
        found = list(check_parity(options, on_stage=status.update))
    if json_output:
        typer.echo(json.dumps([asdict(each) for each in found]))
        return
    columns = ["what", "here", "there", "pool", "cosine", "largest difference", "by the largest value"]
    console.table(f"{options.extract.backbone}: features against plain ones", columns, _rows(found))


def _rows(found: list[Parity]) -> list[list[object]]:
    return [
        [each.what, each.here, each.there, pool, f"{far.cosine:.6f}", far.largest, far.relative]
        for each in found
        for pool, far in each.deviations.items()
    ]
