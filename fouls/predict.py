"""Classes for videos that no manifest knows: the extraction of a run's store, in memory, and then its head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.store import Store
from fouls.errors import WeightsError, WeightsUnavailableError
from fouls.heads.predictions import Predictions
from fouls.heads.run import Run
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.executors.recipe import BackboneRecipe
from fouls.pipeline.loose import extract_loose
from fouls.pipeline.options import ExtractOptions


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
        WeightsUnavailableError: they are not where they were.
    """
    options = ExtractOptions.from_dict(store.made_by.get("options", {}), store=store.path, retry_failed=False)
    recipe = BackboneRecipe(
        name=options.backbone,
        weights=weights or options.weights,
        pretrained_source=options.pretrained_source if weights is None else "auto",
        num_frames=options.num_frames,
        precision=store.spec.precision,
        device=device,
    )
    try:
        backbone = recipe.load()
    except WeightsUnavailableError as error:
        raise WeightsUnavailableError(
            f"{error}; needed are those that filled {store.path}: --weights says where they lie now"
        ) from error
    if backbone.weights != store.spec.weights:
        raise WeightsError(
            f"weights {weights or options.weights or 'by default'} are not those that filled {store.path} "
            f"(SHA-256 {store.spec.weights.sha256[:12]}…): name them with --weights"
        )
    return backbone


def predict_videos(
    run: Run,
    backbones: Sequence[Backbone],
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
        backbones: from :func:`load_run_backbone`, one a store of the run.
        videos: paths.
        one_sample: the videos are views of one sample; otherwise each is a sample of its own.
        decoder: see ``fouls.video.decoders``.
        workers: decoding processes.
        timeout_seconds: for one video.
    """
    found = [
        extract_loose(
            videos,
            backbone,
            store.spec,
            store.pool,
            one_sample=one_sample,
            decoder=decoder,
            workers=workers,
            timeout_seconds=timeout_seconds,
        )
        for backbone, store in zip(backbones, run.config.stores, strict=True)
    ]
    failures = {video: reason for features in reversed(found) for video, reason in features.failures.items()}
    kept = [pc.invert(pc.is_in(features.rows["video_id"], pa.array(list(failures), pa.string()))) for features in found]
    rows = found[0].rows.filter(kept[0])
    values = [
        features.values[which.to_numpy(zero_copy_only=False)] for features, which in zip(found, kept, strict=True)
    ]
    return VideoPredictions(predictions=run.predict(values, rows) if rows.num_rows else [], failures=failures)
