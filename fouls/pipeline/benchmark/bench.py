"""``fouls bench``: every stage of an extraction alone, and all of it, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from fouls.cache.layout import choose_block_rows
from fouls.errors import ConfigError, RunError
from fouls.manifests.table import absolute_paths
from fouls.pipeline.backbones.counting import count
from fouls.pipeline.backbones.loading import load_blank
from fouls.pipeline.benchmark.clips import make_clips
from fouls.pipeline.benchmark.effort import MAX_BATCHES, Effort, Machine, choose_effort
from fouls.pipeline.benchmark.parity import Parity, compare
from fouls.pipeline.benchmark.result import BenchResult
from fouls.pipeline.benchmark.stages import PRODUCT_SIZE, measure_peak, time_decoding, time_forward, time_writing
from fouls.pipeline.benchmark.whole import time_extract
from fouls.pipeline.devices import default_batch_size, default_precision, place, usable_cores
from fouls.pipeline.extract import plan
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.prepare import Prepared, prepare
from fouls.pipeline.streaming import streams_at_once
from fouls.pipeline.trial import TRIAL_VIDEOS, calibrate
from fouls.pipeline.tuning import Tuning, tune
from fouls.pipeline.work import Work, make_work

BLOCKS = 4
"""Blocks of the extraction that is measured, where there are clips enough."""
STREAM_ROWS = 16
"""By which every video goes on each time that a stream net's forward pass is timed: a row takes some milliseconds."""
LARGE_PLAN = 10**6
"""Rows of an extraction in earnest, whose blocks and batches are as large as they get."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often."""

    extract: ExtractOptions
    """Of the extraction; its store is a temporary one."""
    own_clips: bool = False
    """Measure on clips that are made, not on the manifest's videos."""
    videos: int | None = None
    """How many; ``None``: as many as fit into the time."""
    repeats: int | None = None
    """How often each stage is measured; ``None``: as often as fits into the time, five times at most."""
    seconds: float = 60.0
    """How long it may take, about; what is asked for, or the least that can be measured, may take longer."""
    product_size: int = PRODUCT_SIZE
    """Rows and columns of the matrices by whose product the device's peak is measured."""

    def __post_init__(self) -> None:
        for name in ("videos", "repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} is {value}; it must be 1 or more")
        if not 0 < self.seconds < float("inf"):
            raise ConfigError(f"--seconds is {self.seconds}; it must be above 0")


def bench(
    options: BenchOptions,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_tuned: Callable[[str], None] = lambda reason: None,
    on_effort: Callable[[Effort], None] = lambda effort: None,
) -> BenchResult:
    """Measure the stages of an extraction one by one, and all of it.

    Args:
        options: what is measured.
        on_stage: called with the name of what is being measured now.
        on_tuned: called with the batch size and number of decoding processes that an extraction would choose, and why.
        on_effort: called once it is known how much is measured, and how long that will take.

    Raises:
        RunError: not one of the videos could be decoded, or rows of the extraction failed.
        ConfigError: several devices at once, or options that can't work.
        FoulsError: as :func:`fouls.pipeline.prepare.prepare`.
    """
    end = time.perf_counter() + options.seconds
    with _prepared(options, on_stage) as (prepared, folder):
        on_stage("trying what a clip costs")
        prepared, effort = _fit(prepared, options, end, on_tuned)
        on_effort(effort)
        return _measure(prepared, folder, effort.repeats, options.product_size, on_stage)


def check_parity(options: BenchOptions, *, on_stage: Callable[[str], None] = lambda stage: None) -> Iterator[Parity]:
    """How far the features of an extraction are from plain ones, on the first of its videos.

    Args:
        options: how it is extracted.
        on_stage: called with the name of what is being compared now.

    Raises:
        RunError: no video could be probed.
        VideoError: no decoder can read the video.
        FoulsError: as :func:`bench`.
    """
    with _prepared(options, on_stage) as (prepared, _):
        yield from compare(
            prepared.recipe,
            absolute_paths(prepared.manifest.slice(0, 1))[0],
            batch_size=prepared.batch_size(LARGE_PLAN),
            pools=prepared.spec.pools,
            decode_resize=prepared.spec.decode_resize,
            on_setting=on_stage,
        )


@contextmanager
def _prepared(options: BenchOptions, on_stage: Callable[[str], None]) -> Iterator[tuple[Prepared, Path]]:
    """The extraction of videos that could be probed, no more than may be measured; and a folder for what is made."""
    with tempfile.TemporaryDirectory(prefix="fouls-bench-") as name:
        folder, wanted = Path(name), options.extract
        size = wanted.batch_size or default_batch_size(place(wanted.executor).device)
        most = options.videos or MAX_BATCHES * size
        if options.own_clips:
            on_stage("making clips")
            wanted = replace(wanted, manifest=make_clips(folder / "clips", most))
        on_stage("loading the backbone")
        prepared = prepare(replace(wanted, out=folder / "store"))
        if prepared.placement.on_cluster:
            raise ConfigError("bench measures one device in this process: give --device cpu, cuda or cuda:1")
        sound = prepared.manifest.filter(pc.is_null(prepared.manifest["probe_error"]))
        if not sound.num_rows:
            raise RunError(f"{wanted.manifest} has no video that could be probed: `fouls manifest show` says more")
        yield replace(prepared, manifest=sound.slice(0, most)), folder


def _fit(
    prepared: Prepared, options: BenchOptions, end: float, on_tuned: Callable[[str], None]
) -> tuple[Prepared, Effort]:
    """Try what a clip costs, and leave as many videos as fit into the time until then.

    Raises:
        RunError: not one of those that were tried could be decoded.
    """
    videos = prepared.manifest.num_rows
    work, _ = _work(prepared)
    tuning = tune([prepared], [replace(work, block_rows=_largest_blocks(prepared))], num_rows=LARGE_PLAN)
    if tuning.reason is not None:
        on_tuned(tuning.reason)
        prepared = _with_options(prepared, tuning)
    engine = prepared.engine_options
    batch_size = _batch_size(prepared, work.num_rows)
    (trial,) = tuning.calibrations or (
        calibrate(prepared.backbone, work, engine, prepared.spec, batch_size=batch_size),
    )
    if trial is None:
        raise RunError(f"none of {min(TRIAL_VIDEOS, videos)} videos that were tried could be decoded: leave them out")
    effort = choose_effort(
        trial,
        Machine(
            on_gpu=prepared.placement.device != "cpu",
            cores=usable_cores(),
            decode_workers=engine.decode_workers,
        ),
        seconds=end - time.perf_counter(),
        batch_size=batch_size * (STREAM_ROWS if prepared.spec.sampling.kind == "stream" else 1),
        rows_a_video=work.num_rows / videos,
        num_videos=videos,
        repeats=options.repeats,
        exactly=options.videos is not None,
    )
    return _with_blocks(replace(prepared, manifest=prepared.manifest.slice(0, effort.num_videos))), effort


def _with_options(prepared: Prepared, tuning: Tuning) -> Prepared:
    """With what was chosen, as if it had been given."""
    (batch_size,) = tuning.batch_sizes
    options = replace(prepared.options, batch_size=batch_size, decode_workers=tuning.engine.decode_workers)
    return replace(prepared, options=options)


def _largest_blocks(prepared: Prepared) -> int:
    """Rows of a block of an extraction in earnest."""
    options = prepared.options
    return options.block_rows or choose_block_rows(LARGE_PLAN, prepared.pool_shapes, prepared.spec.stored_dtype)


def _with_blocks(prepared: Prepared) -> Prepared:
    """With blocks of as many rows as there would be in an extraction in earnest, but several of them."""
    options = prepared.options
    num_rows = plan(prepared)[0].num_rows
    batch_size = prepared.batch_size(num_rows)
    blocks = BLOCKS * (streams_at_once(prepared.backbone.device) if prepared.spec.sampling.kind == "stream" else 1)
    largest = _largest_blocks(prepared)
    block_rows = options.block_rows or min(largest, max(batch_size, num_rows // blocks // batch_size * batch_size))
    return replace(prepared, options=replace(options, block_rows=block_rows))


def _work(prepared: Prepared) -> tuple[Work, int]:
    """All that is to be done, and the rows of a block."""
    new, block_rows = plan(prepared)
    return replace(make_work(new, block_rows, prepared.manifest, {}), downloads=prepared.options.downloads), block_rows


def _batch_size(prepared: Prepared, block_rows: int) -> int:
    """Clips in a forward pass; of a stream net videos side by side."""
    streams = prepared.spec.sampling.kind == "stream"
    return streams_at_once(prepared.backbone.device) if streams else prepared.batch_size(block_rows)


def _measure(
    prepared: Prepared, folder: Path, repeats: int, product_size: int, on_stage: Callable[[str], None]
) -> BenchResult:
    backbone, spec = prepared.backbone, prepared.spec
    work, block_rows = _work(prepared)
    batch_size = _batch_size(prepared, block_rows)
    videos = [video for job in work.jobs() for video in job.videos]
    on_stage("decoding and preprocessing alone")
    decoding = time_decoding(videos, spec, prepared.engine_options, repeats=repeats)
    if decoding is None:
        raise RunError(f"not one of {len(videos)} videos could be decoded: leave them out")
    on_stage("forward alone")
    rows = STREAM_ROWS if spec.sampling.kind == "stream" else 1
    forward = time_forward(backbone, spec, batch_size=batch_size, repeats=repeats, num_batches=rows, warm_up=rows > 1)
    on_stage("the whole of extract")
    whole, store = time_extract(prepared, folder / "stores", repeats=repeats)
    on_stage("writing alone")
    writing = time_writing(store, repeats=repeats)
    on_stage("matrix products")
    device = str(backbone.device)
    return BenchResult(
        backbone=backbone.name,
        device=device,
        precision=backbone.precision,
        fast_precision=backbone.precision != "fp32" or default_precision(device) == "fp32",
        batch_size=batch_size,
        cores=usable_cores(),
        decoding=decoding,
        forward=forward,
        writing=writing,
        extract=whole,
        multiply_adds=None if spec.sampling.kind == "stream" else _multiply_adds(prepared),
        peak_flops=measure_peak(backbone.device, backbone.precision, repeats=repeats, size=product_size),
        compile_seconds=backbone.compile_seconds,
    )


def _multiply_adds(prepared: Prepared) -> int | None:
    """Of a clip; ``None`` where the checkpoint has another net than the one of its name."""
    blank = load_blank(prepared.recipe.name, num_frames=prepared.recipe.num_frames)
    return count(blank).multiply_adds if blank.num_parameters == prepared.backbone.num_parameters else None
