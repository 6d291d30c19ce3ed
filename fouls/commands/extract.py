"""``fouls extract``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from fouls.cache.spec import Precision, SamplingKind, StoredDtype
from fouls.commands.extract_values import parse_augment, parse_cluster, parse_window
from fouls.commands.urls import AllowUrls, VideoCache, VideoCacheBytes, make_downloads
from fouls.errors import ConfigError
from fouls.objects.location import Location, location

WHAT, FRAMES, AUGMENT = "What", "Which frames", "Augmented passes"
WHERE, CLUSTER, HOW = "Where it runs", "A cluster that stands", "How"
DEFAULT = "default"
"""``--weights`` of a backbone that keeps its own, beside one that gets others."""
T = TypeVar("T")


PretrainedSource = Literal["auto", "kinetics", "imagenet"]


def extract(
    backbone: Annotated[
        list[str],
        typer.Option(
            help="Its name; `fouls backbones` lists them. Several fill a store each, and share the decoding.",
            rich_help_panel=WHAT,
        ),
    ],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="A hub id, a folder, a file, or random:SEED; `default`: the backbone's own. One for each backbone.",
            show_default="default",
            rich_help_panel=WHAT,
        ),
    ] = None,
    pretrained_source: Annotated[
        PretrainedSource, typer.Option(help="Which default weights, where there are several.", rich_help_panel=WHAT)
    ] = "auto",
    fallback: Annotated[
        str | None,
        typer.Option(
            help="Backbones to try in turn when the weights can't be had; commas between them.", rich_help_panel=WHAT
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(help="How tokens become a feature; may be repeated. One pass fills all.", rich_help_panel=WHAT),
    ] = None,
    manifest: Annotated[
        Location,
        typer.Option(parser=location, help="One manifest, or a folder of them; or its URL.", rich_help_panel=WHAT),
    ] = Path("manifests"),
    out: Annotated[
        list[Location] | None,
        typer.Option(
            parser=location,
            help="The store, a folder or s3://BUCKET/…; one for each backbone.",
            show_default="cache/BACKBONE",
            rich_help_panel=WHAT,
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the forward pass.",
            show_default="the store's; else bf16 where the device multiplies it natively, else fp32",
            rich_help_panel=WHAT,
        ),
    ] = None,
    dtype: Annotated[StoredDtype, typer.Option(help="Of the features on the disk.", rich_help_panel=WHAT)] = "float16",
    decode_resize: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            help="Scale larger pictures as they are decoded, their short side to SIZE pixels. Changes the features.",
            show_default="as they are",
            rich_help_panel=WHAT,
        ),
    ] = None,
    sampling: Annotated[
        SamplingKind | None,
        typer.Option(
            help="How clips are taken from a video.",
            show_default="uniform; stream for stream nets",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames a clip, where the backbone leaves a choice.", rich_help_panel=FRAMES)
    ] = None,
    frame_stride: Annotated[
        int | None,
        typer.Option(
            help="Frames from one to the next: center, dense, views, stream.",
            show_default="64 / frames",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    hop: Annotated[
        int | None,
        typer.Option(
            help="Frames from one clip to the next: dense, stream.", show_default="no overlap", rich_help_panel=FRAMES
        ),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="Clips in time: views.", show_default="5", rich_help_panel=FRAMES)
    ] = None,
    crops: Annotated[
        int | None, typer.Option(help="Crops in space, 1 or 3: views.", show_default="3", rich_help_panel=FRAMES)
    ] = None,
    window: Annotated[str | None, typer.Option(help="START:STOP in frames: window.", rich_help_panel=FRAMES)] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second to which the window is thinned.", rich_help_panel=FRAMES)
    ] = None,
    augment: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Beside the plain pass, K passes with random crop, mirror and frames. More may be added later.",
            show_default="none",
            rich_help_panel=AUGMENT,
        ),
    ] = None,
    augment_scale: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:MAX",
            help="Area of the random box by that of the frame.",
            show_default="0.5:1",
            rich_help_panel=AUGMENT,
        ),
    ] = None,
    augment_ratio: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:MAX",
            help="Width by height of the random box.",
            show_default="0.75:1.3333",
            rich_help_panel=AUGMENT,
        ),
    ] = None,
    augment_flip: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Probability of a mirror, left to right.", show_default="0.5", rich_help_panel=AUGMENT
        ),
    ] = None,
    augment_shift: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frames by which a clip begins earlier or later at most; 0: the plain pass's frames.",
            show_default="8; uniform: a random frame of each segment",
            rich_help_panel=AUGMENT,
        ),
    ] = None,
    augment_seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of what is drawn.", show_default="0", rich_help_panel=AUGMENT)
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(help="A worker process on each.", show_default="all that are there", rich_help_panel=WHERE),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes on CPUs instead.", rich_help_panel=WHERE)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Join a Dask cluster instead: tcp://HOST:PORT, tls://HOST:PORT, or a scheduler file.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="In this process, or of the cluster's workers: cpu, cuda, cuda:1, mps.", rich_help_panel=WHERE
        ),
    ] = None,
    worker_resource: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Dask resource of which a block takes 1, such as GPU; workers without it get none.",
            show_default="all workers",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    worker_wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long the cluster may be without such a worker.",
            show_default="60",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Who may have signed the cluster's certificates.", rich_help_panel=CLUSTER)
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="The certificate to show to it.", rich_help_panel=CLUSTER)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its key.", show_default="in --tls-cert", rich_help_panel=CLUSTER)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Clips a forward pass.",
            show_default="the store's; a new one's is tried out on a GPU, and that of the threads on a CPU",
            rich_help_panel=HOW,
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile the forward pass; the first batch then takes long.", rich_help_panel=HOW
        ),
    ] = False,
    decoder: Annotated[
        str, typer.Option(help="auto (pyav), pyav, decord, torchcodec, cuda.", rich_help_panel=HOW)
    ] = "auto",
    decode_workers: Annotated[
        int | None,
        typer.Option(
            help="Decoding processes a worker.",
            show_default="as many as keep up with the backbone, by a short trial",
            rich_help_panel=HOW,
        ),
    ] = None,
    decode_timeout: Annotated[
        float, typer.Option(help="Seconds for one video in one block.", rich_help_panel=HOW)
    ] = 120.0,
    block_rows: Annotated[
        int | None, typer.Option(help="Rows a block of a new store.", show_default="by its size", rich_help_panel=HOW)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N videos.", rich_help_panel=HOW)] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed rows again.", rich_help_panel=HOW)
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="CODES",
            help="Of the failed rows those with these classes of error; commas between them.",
            show_default="all",
            rich_help_panel=HOW,
        ),
    ] = None,
    include_quarantined: Annotated[
        bool,
        typer.Option(
            "--include-quarantined",
            help="Of the failed rows also those that keep killing the decoder.",
            rich_help_panel=HOW,
        ),
    ] = False,
    allow_urls: AllowUrls = None,
    video_cache: VideoCache = None,
    video_cache_bytes: VideoCacheBytes = "20GB",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to do, and how long it takes.", rich_help_panel=HOW)
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=HOW)] = False,
) -> None:
    """Push every video of the manifests once through a frozen backbone, into a store.

    Only what the store does not have is done: after a crash, or with more videos in the manifest, give the same
    command again.

    fouls extract --backbone videomae --gpus 4

    fouls extract --backbone videomae --backbone mvit
    """
    from fouls.commands.extracting import run
    from fouls.pipeline.options import ExecutorOptions, ExtractOptions, SamplingOptions

    all_weights, outs = _one_each("--weights", weights, backbone), _one_each("--out", out, backbone)
    if fallback and len(backbone) > 1:
        raise ConfigError("--fallback belongs to one backbone: leave it out, or extract the backbones one by one")
    shared = ExtractOptions(
        backbone=backbone[0],
        pretrained_source=pretrained_source,
        fallback=parse_names(fallback),
        num_frames=frames,
        pools=tuple(pool or ()),
        sampling=SamplingOptions(
            kind=sampling,
            frame_stride=frame_stride,
            hop=hop,
            num_clips=clips,
            num_crops=crops,
            window=parse_window(window),
            window_fps=fps,
        ),
        augment=parse_augment(
            augment, scale=augment_scale, ratio=augment_ratio, flip=augment_flip, shift=augment_shift, seed=augment_seed
        ),
        precision=precision,
        stored_dtype=dtype,
        decode_resize=decode_resize,
        manifest=manifest,
        executor=ExecutorOptions(
            gpus=gpus,
            workers=workers,
            scheduler=scheduler,
            device=device,
            cluster=parse_cluster(worker_resource, worker_wait, tls_ca, tls_cert, tls_key),
        ),
        batch_size=batch_size,
        compile=compile,
        decoder=decoder,
        decode_workers=decode_workers,
        decode_timeout_seconds=decode_timeout,
        block_rows=block_rows,
        limit=limit,
        retry_failed=retry_failed,
        retry_only=parse_names(only),
        include_quarantined=include_quarantined,
        downloads=make_downloads(allow_urls, video_cache, video_cache_bytes),
    )
    options = [
        replace(shared, backbone=name, weights=None if its == DEFAULT else its, out=store)
        for name, its, store in zip(backbone, all_weights, outs, strict=True)
    ]
    run(options, dry_run=dry_run, json_output=json_output)


def _one_each(option: str, values: Sequence[T] | None, backbones: Sequence[str]) -> Sequence[T | None]:
    """What an option says for each backbone, in their order."""
    if not values:
        return [None] * len(backbones)
    if len(values) != len(backbones):
        raise ConfigError(
            f"{option} is given {len(values)} times, --backbone {len(backbones)} times: give one for each, in order"
        )
    return values


def parse_names(names: str | None) -> tuple[str, ...]:
    """``a,b`` as names."""
    return () if names is None else tuple(name.strip() for name in names.split(","))
