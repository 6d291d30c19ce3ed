"""Features of videos that no manifest knows, in memory: probe → sample → decode → backbone, as for a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fouls.cache.rows import ROW_SCHEMA
from fouls.cache.spec import Spec
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import DecodingCost, batches
from fouls.pipeline.decoding import decode
from fouls.pipeline.jobs import VideoFile, make_video_jobs
from fouls.pipeline.plan import plan_rows
from fouls.video.isolation import IsolatedPool
from fouls.video.probe import Probe, probe_files

BATCH_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class LooseFeatures:
    """What came of some videos."""

    rows: pa.Table
    """Of the videos that could be used, ``fouls.cache.rows.ROW_SCHEMA``; a video's id is its path."""
    values: npt.NDArray[np.floating]
    """Of these rows, in the spec's stored dtype: (rows, *the pool's shape)."""
    failures: dict[str, str]
    """Video → why it could not be used."""


def extract_loose(
    videos: Sequence[str],
    backbone: Backbone,
    spec: Spec,
    pool: str,
    *,
    one_sample: bool = False,
    decoder: str = "auto",
    workers: int = 1,
    timeout_seconds: float = 120.0,
) -> LooseFeatures:
    """The features that a store of this spec would hold.

    Args:
        videos: paths.
        backbone: the one of the spec.
        spec: how clips are taken and prepared.
        pool: one of the backbone's.
        one_sample: the videos are views of one sample; otherwise each is a sample of its own.
        decoder: see ``fouls.video.decoders``.
        workers: decoding processes.
        timeout_seconds: for one video.
    """
    probes = probe_files(videos, workers=workers, timeout_seconds=timeout_seconds)
    planned = plan_rows(_as_manifest(videos, probes, one_sample), spec.sampling, known={}, first_row=0)
    usable = pc.is_null(planned["plan_error"])
    hopeless = planned.filter(pc.invert(usable))
    failures: dict[str, str] = dict(
        zip(hopeless["video_id"].to_pylist(), hopeless["plan_error"].to_pylist(), strict=True)
    )
    rows = _renumbered(planned.filter(usable))
    files = {video: _file(video, probe) for video, probe in zip(videos, probes, strict=True)}
    values = np.zeros((rows.num_rows, *backbone.pools[pool]), dtype=spec.stored_dtype)
    with IsolatedPool(workers, timeout_seconds, preload=["fouls.pipeline.decoding"]) as isolated:
        for batch in batches(
            make_video_jobs(rows, files),
            rows=range(rows.num_rows),
            batch_size=BATCH_SIZE,
            spec=spec,
            submit=lambda video: isolated.submit(decode, video, spec.preprocessing, spec.sampling.num_crops, decoder),
            cost=DecodingCost(),
        ):
            features = backbone.features(backbone.normalise(torch.from_numpy(batch.pictures)), [pool])[pool].cpu()
            values[batch.rows.start : batch.rows.stop] = features.numpy()
            failures |= {video: f"{error.code}: {error}" for video, error in batch.failures.values()}
    kept = np.array([video not in failures for video in rows["video_id"].to_pylist()], dtype=bool)
    return LooseFeatures(rows=rows.filter(pa.array(kept)), values=values[kept], failures=failures)


def _as_manifest(videos: Sequence[str], probes: Sequence[Probe], one_sample: bool) -> pa.Table:
    """The columns of a manifest that planning reads; a video's id is its path."""
    records: list[dict[str, Any]] = [
        {
            "video_id": video,
            "sample_id": videos[0] if one_sample else video,
            "view": view if one_sample else 0,
            "content_hash": probe.content_hash,
            "start_frame": None,
            "stop_frame": None,
            "num_frames": probe.info.num_frames if probe.info else None,
            "fps": probe.info.fps if probe.info else None,
            "probe_error": probe.error,
        }
        for view, (video, probe) in enumerate(zip(videos, probes, strict=True))
    ]
    return pa.Table.from_pylist(records)


def _renumbered(rows: pa.Table) -> pa.Table:
    numbers = pa.array(range(rows.num_rows), pa.int64())
    return rows.set_column(0, ROW_SCHEMA.field("row"), numbers)


def _file(video: str, probe: Probe) -> VideoFile:
    return VideoFile(
        video_id=video,
        path=video,
        size_bytes=probe.size_bytes,
        modified_ns=probe.modified_ns,
        content_hash=probe.content_hash,
    )
