"""``fouls bench``: every stage of an extraction alone, and all of it, in one run."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from fouls.cache.layout import choose_block_rows
from fouls.cache.store import Store, open_store
from fouls.cache.summary import summarise
from fouls.errors import ConfigError, RunError
from fouls.manifests.table import absolute_paths
from fouls.pipeline.backbones.counting import count
from fouls.pipeline.backbones.loading import load_blank
from fouls.pipeline.benchmark.clips import make_clips
from fouls.pipeline.benchmark.parity import Parity, compare
from fouls.pipeline.benchmark.result import BenchResult
from fouls.pipeline.benchmark.stages import measure_peak, time_decoding, time_forward, time_writing
from fouls.pipeline.benchmark.timing import Timing
from fouls.pipeline.devices import default_batch_size, default_precision, place, usable_cores
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.executors.local import run_here
from fouls.pipeline.extract import make_groups, plan, write_plan
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.prepare import Prepared, prepare
from fouls.pipeline.work import find_work, make_work
from fouls.video.isolation import IsolatedPool

BATCHES = 8
"""Batches of which the clips are made, where their number is not given."""
BLOCKS = 4
"""Blocks of the extraction that is measured, where there are clips enough."""
LARGE_PLAN = 10**6
"""Rows of an extraction in earnest, whose blocks and batches are as large as they get."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often."""

    extract: ExtractOptions
    """Of the extraction; its store is a temporary one."""
    own_clips: bool = False
    """Measure on clips that are made, not on the manifest's videos."""
    clips: int | None = None
    """How many; ``None``: all of the manifest, or some batches of own ones."""
    repeats: int = 5

    def __post_init__(self) -> None:
        for name in ("clips", "repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} is {value}; it must be 1 or more")


def bench(options: BenchOptions, *, on_stage: Callable[[str], None] = lambda stage: None) -> BenchResult:
    """Measure the stages of an extraction one by one, and all of it.

    Args:
        options: what is measured.
        on_stage: called with the name of what is being measured now.

    Raises:
        RunError: not one of the videos could be decoded, or rows of the extraction failed.
        ConfigError: several devices at once, or options that can't work.
        FoulsError: as :func:`fouls.pipeline.prepare.prepare`.
    """
    with _prepared(options, on_stage) as (prepared, folder):
        return _measure(_with_blocks(prepared), folder, options.repeats, on_stage)


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
    with _prepared(replace(options, clips=options.clips or 1), on_stage) as (prepared, _):
        sound = prepared.manifest.filter(pc.is_null(prepared.manifest["probe_error"]))
        if not sound.num_rows:
            raise RunError(f"{prepared.options.manifest} has no video that could be probed")
        on_stage("comparing")
        yield from compare(
            prepared.recipe,
            absolute_paths(sound.slice(0, 1))[0],
            batch_size=prepared.batch_size(LARGE_PLAN),
            pools=prepared.spec.pools,
        )


@contextmanager
def _prepared(options: BenchOptions, on_stage: Callable[[str], None]) -> Iterator[tuple[Prepared, Path]]:
    """The extraction, and a folder for what is made on the way."""
    with tempfile.TemporaryDirectory(prefix="fouls-bench-") as name:
        folder, wanted = Path(name), replace(options.extract, limit=options.clips)
        if options.own_clips:
            on_stage("making clips")
            size = wanted.batch_size or default_batch_size(place(wanted.executor).device)
            wanted = replace(wanted, manifest=make_clips(folder / "clips", options.clips or BATCHES * size))
        on_stage("loading the backbone")
        prepared = prepare(replace(wanted, out=folder / "store"))
        if prepared.placement.on_cluster:
            raise ConfigError("bench measures one device in this process: give --device cpu, cuda or cuda:1")
        yield prepared, folder


def _with_blocks(prepared: Prepared) -> Prepared:
    """With blocks of as many rows as there would be in an extraction in earnest, but several of them."""
    options = prepared.options
    num_rows = plan(prepared)[0].num_rows
    batch_size = prepared.batch_size(num_rows)
    largest = choose_block_rows(LARGE_PLAN, prepared.pool_shapes, prepared.spec.stored_dtype)
    block_rows = options.block_rows or min(largest, max(batch_size, num_rows // BLOCKS // batch_size * batch_size))
    return replace(prepared, options=replace(prepared.options, block_rows=block_rows))


def _measure(prepared: Prepared, folder: Path, repeats: int, on_stage: Callable[[str], None]) -> BenchResult:
    backbone, spec, options = prepared.backbone, prepared.spec, prepared.engine_options
    streams = spec.sampling.kind == "stream"
    new, block_rows = plan(prepared)
    batch_size = 1 if streams else prepared.batch_size(block_rows)
    work = replace(make_work(new, block_rows, prepared.manifest, {}), downloads=prepared.options.downloads)
    videos = [video for job in work.jobs() for video in job.videos]
    if not videos:
        raise RunError(
            f"{prepared.options.manifest} has no video that could be probed: `fouls manifest show` says more"
        )
    on_stage("decoding and preprocessing alone")
    decoding = time_decoding(videos, spec, options, repeats=repeats)
    if decoding is None:
        raise RunError(f"not one of {len(videos)} videos could be decoded: `fouls manifest show` says more")
    on_stage("forward alone")
    forward = time_forward(backbone, spec, batch_size=batch_size, repeats=repeats)
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
        multiply_adds=None if streams else _multiply_adds(prepared),
        peak_flops=measure_peak(backbone.device, backbone.precision, repeats=repeats),
    )


def time_extract(prepared: Prepared, folder: Path, *, repeats: int) -> tuple[Timing, Store]:
    """Extract everything into new stores, and once before; from the first block's beginning to the last one's commit.

    What is done once, however many clips there are, does not count: loading the backbone, starting the decoding
    processes, planning.

    Returns:
        The timing, and the last store.

    Raises:
        RunError: rows failed.
    """
    seconds = []
    options = prepared.engine_options
    with IsolatedPool(
        options.decode_workers, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"]
    ) as pool:
        for number in range(repeats + 1):
            shutil.rmtree(folder / str(number - 1), ignore_errors=True)
            path = folder / str(number)
            into = replace(prepared, options=replace(prepared.options, out=path))
            write_plan(into)
            store = open_store(path)
            work = find_work(store, into.manifest, retry=None, downloads=into.options.downloads)
            member = Member(store=store, backbone=into.backbone, batch_size=into.batch_size(store.block_rows))
            started = time.perf_counter()
            for _ in run_here(Engine([member], options, pool), make_groups([into], [work])):
                pass
            seconds.append(time.perf_counter() - started)
            summary = summarise(store)
            if summary.failed or summary.todo:
                raise RunError(f"{summary.failed} of {summary.rows} clips failed: leave their videos out")
    return Timing(num_clips=summary.done, seconds=tuple(seconds[1:])), store


def _multiply_adds(prepared: Prepared) -> int | None:
    """Of a clip; ``None`` where the checkpoint has another net than the one of its name."""
    counted = count(load_blank(prepared.recipe.name, num_frames=prepared.recipe.num_frames))
    return counted.multiply_adds if counted.parameters == prepared.backbone.num_parameters else None
