"""How long will it take? A short trial on the very work that is to be done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice

import numpy as np

from fouls.cache.spec import Spec
from fouls.cache.store import open_store
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.benchmark.limit import least_seconds
from fouls.pipeline.benchmark.stages import decode_once, decoding_processes, time_forward
from fouls.pipeline.devices import usable_cores
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.extract import plan
from fouls.pipeline.jobs import BlockJob
from fouls.pipeline.prepare import Prepared
from fouls.pipeline.work import find_work, make_work

TRIAL_VIDEOS = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What an extraction would do."""

    new_rows: int
    """Rows that would be planned."""
    rows: int
    """Rows that would be done, the new ones among them."""
    blocks: int
    bytes: int
    """Of the features of the rows to do."""
    seconds: float | None
    """``None`` when there is nothing to try it on."""

    def to_dict(self) -> dict[str, int | float | None]:
        """As JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What an extraction of one or several stores would do."""

    stores: tuple[Estimate, ...]
    """Each as if it were extracted alone."""
    seconds: float | None
    """For all of them at once; ``None`` when one has rows to do and there is nothing to try it on."""


def estimate_all(prepared: Sequence[Prepared]) -> Estimates:
    """What :func:`fouls.pipeline.extract.extract_all` would do, and how long it would take; writes nothing."""
    tried = [_try(each) for each in prepared]
    together = [(number.rows, trial) for number, trial in tried if number.rows]
    seconds = None
    if together and all(trial is not None for _, trial in together):
        seconds = _seconds([(rows, trial) for rows, trial in together if trial is not None], prepared[0])
    return Estimates(stores=tuple(number for number, _ in tried), seconds=seconds)


def estimate(prepared: Prepared) -> Estimate:
    """What :func:`fouls.pipeline.extract.extract` would do, and how long it would take; writes nothing."""
    return estimate_all([prepared]).stores[0]


def _try(prepared: Prepared) -> tuple[Estimate, Calibration | None]:
    new, block_rows = plan(prepared)
    manifest, store = prepared.manifest, prepared.options.store
    works = [replace(make_work(new, block_rows, manifest, {}), downloads=prepared.options.downloads)]
    if (store / "zarr.json").exists():
        works.append(
            find_work(open_store(store), manifest, retry=prepared.options.retry, downloads=prepared.options.downloads)
        )
    jobs = chain.from_iterable(work.jobs() for work in works)
    num_rows = sum(work.num_rows for work in works)
    row_values = sum(math.prod(shape) for shape in prepared.pool_shapes.values())
    trial = calibrate(
        prepared.backbone, jobs, prepared.engine_options, prepared.spec, batch_size=prepared.batch_size(block_rows)
    )
    found = Estimate(
        new_rows=new.num_rows,
        rows=num_rows,
        blocks=sum(map(len, works)),
        bytes=num_rows * row_values * np.dtype(prepared.spec.stored_dtype).itemsize,
        seconds=None if trial is None else _seconds([(num_rows, trial)], prepared),
    )
    return found, trial


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Seconds for one row, of one process working alone."""

    read_seconds: float
    """Of one decoding process."""
    preprocess_seconds: float
    """Of one decoding process."""
    forward_seconds: float


def _seconds(work: Sequence[tuple[int, Calibration]], prepared: Prepared) -> float:
    """Time for the rows of some stores; what one of them has to read the others share."""
    forward = sum(rows * trial.forward_seconds for rows, trial in work)
    read = max(rows * trial.read_seconds for rows, trial in work)
    decode = read + sum(rows * trial.preprocess_seconds for rows, trial in work)
    placement = prepared.placement
    if placement.device != "cpu":
        decode /= prepared.engine_options.decode_workers
        return least_seconds(forward=forward, decoding=decode, on_gpu=True) / placement.engines
    return least_seconds(forward=forward, decoding=decode / usable_cores(), on_gpu=False)


def calibrate(
    backbone: Backbone, jobs: Iterable[BlockJob], options: EngineOptions, spec: Spec, *, batch_size: int
) -> Calibration | None:
    """Decode a few of the videos that are to be done, and push one batch through the backbone.

    Returns:
        ``None`` when not one of them could be decoded.
    """
    videos = list(islice((video for job in jobs for video in job.videos), TRIAL_VIDEOS))
    with decoding_processes(replace(options, decode_workers=1)) as pool:
        decode_once(pool, videos[:1], spec, options.decoder)  # the first one loads the decoder
        num_clips, decoding = decode_once(pool, videos, spec, options.decoder)
    if not num_clips:
        return None
    streams = spec.sampling.kind == "stream"
    forward = time_forward(backbone, spec, batch_size=1 if streams else batch_size, repeats=1)
    return Calibration(
        read_seconds=decoding.read, preprocess_seconds=decoding.preprocess, forward_seconds=forward.seconds_a_clip
    )
