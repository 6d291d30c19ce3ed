"""How long will it take? A short trial on the very work that is to be done."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from fouls.cache.spec import Spec
from fouls.cache.store import open_store
from fouls.errors import VideoError
from fouls.manifests.table import absolute_paths
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.decoding import decode
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.extract import Prepared, plan
from fouls.pipeline.jobs import BlockJob, VideoJob, find_work, make_jobs
from fouls.video.isolation import IsolatedPool

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


def estimate(prepared: Prepared) -> Estimate:
    """What :func:`fouls.pipeline.extract.extract` would do, and how long it would take; writes nothing."""
    new, block_rows = plan(prepared)
    manifest, paths, store = prepared.manifest, absolute_paths(prepared.manifest), prepared.options.store
    works = [make_jobs(new, block_rows, manifest, paths, {})]
    if (store / "zarr.json").exists():
        works.append(find_work(open_store(store), manifest, paths, retry=prepared.options.retry))
    jobs = [job for work in works for job in work.jobs]
    num_rows = sum(work.num_rows for work in works)
    row_values = sum(math.prod(shape) for shape in prepared.pool_shapes.values())
    options = prepared.engine_options(block_rows)
    trial = calibrate(prepared.backbone, jobs, options, prepared.spec)
    placement = prepared.placement
    return Estimate(
        new_rows=new.num_rows,
        rows=num_rows,
        blocks=len(jobs),
        bytes=num_rows * row_values * np.dtype(prepared.spec.stored_dtype).itemsize,
        seconds=None
        if trial is None
        else trial.estimate_seconds(num_rows, options=options, device=placement.device, engines=placement.engines),
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Seconds for one row, of one process working alone."""

    decode_seconds: float
    """Of one decoding process: reading and preprocessing."""
    forward_seconds: float

    def estimate_seconds(self, num_rows: int, *, options: EngineOptions, device: str, engines: int) -> float:
        """Time for ``num_rows`` rows.

        On a CPU decoding and the backbone share the cores; on a GPU the slower of the two decides.
        """
        if device.startswith("cuda"):
            row_seconds = max(self.forward_seconds, self.decode_seconds / options.decode_workers) / engines
        else:
            row_seconds = self.forward_seconds + self.decode_seconds / (os.cpu_count() or 1)
        return num_rows * row_seconds


def calibrate(backbone: Backbone, jobs: Sequence[BlockJob], options: EngineOptions, spec: Spec) -> Calibration | None:
    """Decode a few of the videos that are to be done, and push one batch through the backbone.

    Returns:
        ``None`` when not one of them could be decoded.
    """
    videos = [video for job in jobs for video in job.videos][:TRIAL_VIDEOS]
    decode_seconds = _time_decoding(videos, options, spec)
    if decode_seconds is None:
        return None
    streams = spec.sampling.kind == "stream"
    size, batch_size = backbone.preprocessing.crop, 1 if streams else options.batch_size
    pictures = torch.zeros((batch_size, spec.sampling.num_frames, size, size, 3), dtype=torch.uint8)
    seconds = 0.0
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        x = backbone.normalise(pictures)
        for feature in (backbone.stream(x)[0] if streams else backbone.features(x)).values():
            feature.cpu()
        seconds = time.perf_counter() - started
    return Calibration(decode_seconds=decode_seconds, forward_seconds=seconds / batch_size)


def _time_decoding(videos: list[VideoJob], options: EngineOptions, spec: Spec) -> float | None:
    seconds, rows = 0.0, 0
    with IsolatedPool(1, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"]) as pool:
        for video in videos:
            try:
                decoded = pool.submit(decode, video, spec, options.decoder).result()
            except VideoError:  # the run itself will record it
                continue
            seconds += decoded.read_seconds + decoded.preprocess_seconds
            rows += len(video.clips)
    return seconds / rows if rows else None
