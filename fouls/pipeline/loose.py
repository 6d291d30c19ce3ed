"""Features of videos that no manifest knows, in memory: probe → sample → decode → backbone, as for a store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fouls.cache.spec import Spec
from fouls.errors import VideoError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import DecodingCost, Submit, batches
from fouls.pipeline.decoding import DecodedVideo, decode
from fouls.pipeline.jobs import VideoFile, VideoJob, make_video_jobs
from fouls.pipeline.plan import numbered, plan_rows
from fouls.pipeline.streaming import Streams, stream_video
from fouls.video.fork_server import import_ahead
from fouls.video.isolation import IsolatedPool
from fouls.video.probe import Probe, probe_files

BATCH_SIZE = 4
DECODING = ["fouls.pipeline.decoding"]
"""What a decoding process imports, torch with it."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class LooseFeatures:
    """What came of some videos."""

    rows: pa.Table
    """Of the videos that could be used, ``fouls.cache.rows.ROW_SCHEMA``; a video's id is its path."""
    values: Values
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
    import_ahead(DECODING)
    probes = probe_files(videos, workers=workers, timeout_seconds=timeout_seconds)
    planned = plan_rows(_as_manifest(videos, probes, one_sample), spec)
    usable = pc.is_null(planned["plan_error"])
    hopeless = planned.filter(pc.invert(usable))
    failures: dict[str, str] = dict(
        zip(hopeless["video_id"].to_pylist(), hopeless["plan_error"].to_pylist(), strict=True)
    )
    rows = numbered(planned.filter(usable), 0)
    files = {video: _file(video, probe) for video, probe in zip(videos, probes, strict=True)}
    values = np.zeros((rows.num_rows, *backbone.pools[pool]), dtype=spec.stored_dtype)
    jobs = make_video_jobs(rows, files)
    with IsolatedPool(workers, timeout_seconds, preload=DECODING) as isolated:

        def submit(video: VideoJob) -> Future[DecodedVideo]:
            return isolated.submit(decode, video, spec, decoder)

        fill = _fill_streaming if spec.sampling.kind == "stream" else _fill_in_batches
        failures |= fill(values, jobs, backbone, spec, pool, submit)
    kept = np.array([video not in failures for video in rows["video_id"].to_pylist()], dtype=bool)
    return LooseFeatures(rows=rows.filter(pa.array(kept)), values=values[kept], failures=failures)


def _fill_in_batches(
    values: Values, jobs: Sequence[VideoJob], backbone: Backbone, spec: Spec, pool: str, submit: Submit
) -> dict[str, str]:
    """Fill the features of all rows; the videos that could not be decoded, and why."""
    failures: dict[str, str] = {}
    rows = range(len(values))
    for batch in batches(tuple(jobs), rows=rows, batch_size=BATCH_SIZE, spec=spec, submit=submit, cost=DecodingCost()):
        features = backbone.features(backbone.normalise(torch.from_numpy(batch.pictures)), [pool])[pool].cpu()
        values[batch.rows.start : batch.rows.stop] = features.numpy()
        failures |= {video: f"{error.code}: {error}" for video, error in batch.failures.values()}
    return failures


def _fill_streaming(
    values: Values, jobs: Sequence[VideoJob], backbone: Backbone, spec: Spec, pool: str, submit: Submit
) -> dict[str, str]:
    """As :func:`_fill_in_batches`, for a stream net."""
    failures: dict[str, str] = {}
    for video in jobs:
        rows = stream_video(
            video,
            backbone=backbone,
            sampling=spec.sampling,
            pools=[pool],
            submit=submit,
            streams=Streams(),
            free=threading.Lock(),
            cost=DecodingCost(),
        )
        try:
            for row in rows:
                values[row.row] = row.features[pool]
        except VideoError as error:
            failures[video.file.video_id] = f"{error.code}: {error}"
    return failures


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


def _file(video: str, probe: Probe) -> VideoFile:
    return VideoFile(
        video_id=video,
        path=video,
        size_bytes=probe.size_bytes,
        modified_ns=probe.modified_ns,
        content_hash=probe.content_hash,
    )
