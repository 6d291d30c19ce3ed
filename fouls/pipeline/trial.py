"""What a row costs: some of the videos decoded, a batch pushed through the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fouls.cache.spec import Spec
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.benchmark.stages import DecodingCost, decode_once, decoding_processes, time_forward
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.jobs import VideoJob
from fouls.pipeline.streaming import streams_at_once
from fouls.pipeline.work import Work

TRIAL_VIDEOS = 3
SHORT_SECONDS = 1.0
"""A first batch that takes no longer is pushed through once more: the first has to load and choose kernels."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Seconds for one row, of one process working alone."""

    read_seconds: float
    """Of one decoding process."""
    preprocess_seconds: float
    """Of one decoding process."""
    forward_seconds: float


def calibrate(
    backbone: Backbone, work: Work, options: EngineOptions, spec: Spec, *, batch_size: int
) -> Calibration | None:
    """Decode a few of the videos that are to be done, and push one batch through the backbone.

    Returns:
        ``None`` when not one of them could be decoded.
    """
    decoding = try_decoding(work, options, spec)
    if decoding is None:
        return None
    return with_forward(decoding, try_forward(backbone, spec, batch_size=batch_size))


def with_forward(decoding: DecodingCost, forward_seconds: float) -> Calibration:
    """Both parts."""
    return Calibration(
        read_seconds=decoding.read, preprocess_seconds=decoding.preprocess, forward_seconds=forward_seconds
    )


def try_decoding(work: Work, options: EngineOptions, spec: Spec) -> DecodingCost | None:
    """Decode a few videos in one process, from the beginning, the middle and the end of what is to be done."""
    videos = trial_videos(work)
    with decoding_processes(replace(options, decode_workers=1)) as pool:
        decode_once(pool, videos[:1], spec, options.decoder)  # the first one loads the decoder
        num_clips, decoding = decode_once(pool, videos, spec, options.decoder)
    return decoding if num_clips else None


def trial_videos(work: Work) -> Sequence[VideoJob]:
    """Of so many blocks, evenly spaced, the first videos; of fewer blocks more of each."""
    blocks = sorted({number * (len(work) - 1) // (TRIAL_VIDEOS - 1) for number in range(TRIAL_VIDEOS)}) if work else []
    found = [work.job(number).videos[: TRIAL_VIDEOS // len(blocks)] for number in blocks]
    return [video for videos in found for video in videos]


def try_forward(backbone: Backbone, spec: Spec, *, batch_size: int) -> float:
    """Seconds that the backbone takes for a row, in batches of that size; a stream net's row with others beside it."""
    if spec.sampling.kind == "stream":
        batch_size = streams_at_once(backbone.device)
    first = time_forward(backbone, spec, batch_size=batch_size, repeats=1, warm_up=False)
    if max(first.seconds) > SHORT_SECONDS:
        return first.seconds_a_clip
    return time_forward(backbone, spec, batch_size=batch_size, repeats=1, warm_up=False).seconds_a_clip


def total_seconds(work: Sequence[tuple[int, Calibration]]) -> tuple[float, float]:
    """Seconds of the forward passes, and of one process that decodes, for some rows of each store.

    What one of the stores has to read the others share.
    """
    forward = sum(rows * trial.forward_seconds for rows, trial in work)
    read = max(rows * trial.read_seconds for rows, trial in work)
    return forward, read + sum(rows * trial.preprocess_seconds for rows, trial in work)
