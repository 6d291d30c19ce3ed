"""Classes for videos that no manifest knows: the extraction of a run's store, in memory, and then its head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from fouls.cache.rows import ROW_SCHEMA
from fouls.cache.spec import Spec
from fouls.cache.store import Store
from fouls.errors import WeightsError
from fouls.heads.predictions import Predictions
from fouls.heads.run import Run
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import DecodingCost, batches
from fouls.pipeline.decoding import decode
from fouls.pipeline.executors.recipe import BackboneRecipe
from fouls.pipeline.jobs import VideoFile, make_video_jobs
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.plan import plan_rows
from fouls.video.isolation import IsolatedPool
from fouls.video.probe import Probe, probe_files

BATCH_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class VideoPredictions:
    """What a run says of some videos."""

    predictions: list[Predictions]
    """One a task; empty when no video could be used."""
    failures: dict[str, str]
    """Video → why it could not be used."""


def load_run_backbone(store: Store, *, weights: str | None = None, device: str = "cpu") -> Backbone:
    """The backbone that filled a store.

    Args:
        store: what it filled.
        weights: where they lie now; ``None``: where they lay then.
        device: where it goes.

    Raises:
        WeightsError: other weights than the store's.
    """
    options = ExtractOptions.from_dict(store.made_by["options"], store=store.path, retry_failed=False)
    backbone = BackboneRecipe(
        name=options.backbone,
        weights=weights or options.weights,
        pretrained_source=options.pretrained_source if weights is None else "auto",
        num_frames=options.num_frames,
        precision=store.spec.precision,
        device=device,
    ).load()
    if backbone.weights != store.spec.weights:
        raise WeightsError(
            f"weights {weights or options.weights or 'by default'} are not those that filled {store.path} "
            f"(SHA-256 {store.spec.weights.sha256[:12]}…): name them with --weights"
        )
    return backbone


def predict_videos(
    run: Run,
    backbone: Backbone,
    videos: Sequence[str],
    *,
    one_sample: bool = False,
    decoder: str = "auto",
    workers: int = 1,
    timeout_seconds: float = 120.0,
) -> VideoPredictions:
    """Class probabilities for video files, made exactly as the features that the run was trained on.

    Args:
        run: a finished run.
        backbone: from :func:`load_run_backbone`.
        videos: paths.
        one_sample: the videos are views of one sample; otherwise each is a sample of its own.
        decoder: see ``fouls.video.decoders``.
        workers: decoding processes.
        timeout_seconds: for one video.
    """
    spec = run.config.store.spec
    probes = probe_files(videos, workers=workers, timeout_seconds=timeout_seconds)
    rows = plan_rows(_as_manifest(videos, probes, one_sample), spec.sampling, known={}, first_row=0)
    failures = {
        video: error
        for video, error in zip(rows["video_id"].to_pylist(), rows["plan_error"].to_pylist(), strict=True)
        if error is not None
    }
    rows = _renumbered(rows.filter(pa.compute.is_null(rows["plan_error"])))
    values, failed = _extract(rows, probes, videos, backbone, spec, run.config.store.pool, decoder, workers)
    failures |= failed
    kept = np.array([video not in failures for video in rows["video_id"].to_pylist()], dtype=bool)
    if not kept.any():
        return VideoPredictions(predictions=[], failures=failures)
    return VideoPredictions(predictions=run.predict(values[kept], rows.filter(pa.array(kept))), failures=failures)


def _extract(
    rows: pa.Table,
    probes: Sequence[Probe],
    videos: Sequence[str],
    backbone: Backbone,
    spec: Spec,
    pool: str,
    decoder: str,
    workers: int,
) -> tuple[npt.NDArray[np.floating], dict[str, str]]:
    """Features of the rows, as the store would hold them, and the videos that could not be decoded."""
    files = {video: _file(video, probe) for video, probe in zip(videos, probes, strict=True)}
    values = np.zeros((rows.num_rows, *backbone.pools[pool]), dtype=spec.stored_dtype)
    failures: dict[str, str] = {}
    with IsolatedPool(workers, 120.0, preload=["fouls.pipeline.decoding"]) as isolated:
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
    return values, failures


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
        path=str(Path(video)),
        size_bytes=probe.size_bytes,
        modified_ns=probe.modified_ns,
        content_hash=probe.content_hash,
    )
