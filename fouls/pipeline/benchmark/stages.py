"""The stages of an extraction, each alone: decoding and preprocessing, forward, writing. And matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from fouls.cache.blocks import BlockWriter, load_done
from fouls.cache.spec import Precision, Spec
from fouls.cache.store import Store
from fouls.errors import VideoError
from fouls.pipeline.backbones.backbone import DTYPES, Backbone
from fouls.pipeline.benchmark.timing import Timing, repeat
from fouls.pipeline.decoding import decode
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.jobs import VideoJob
from fouls.pipeline.streaming import go_on
from fouls.video.isolation import IsolatedPool

PRODUCT_SIZE = 4096
"""Rows and columns of the matrices by whose product the peak is measured."""


@dataclass(frozen=True, kw_only=True)
class DecodingCost:
    """Seconds of decoding and preprocessing for one clip."""

    read: float
    preprocess: float
    cores: float
    """Core-seconds of both together."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Decoding and preprocessing by several processes side by side, with nothing else going on."""

    together: Timing
    """From the first video's beginning to the last one's end."""
    costs: tuple[DecodingCost, ...]
    """Of every time."""
    workers: int

    def cost(self, part: str) -> float:
        """The median of a part of the cost, ``read``, ``preprocess`` or ``cores``: seconds a clip."""
        return statistics.median(float(getattr(cost, part)) for cost in self.costs)

    def alone(self, part: str) -> Timing:
        """``read`` or ``preprocess``, by all processes."""
        clips = self.together.num_clips
        seconds = (getattr(cost, part) * clips / self.workers for cost in self.costs)
        return Timing(num_clips=clips, seconds=tuple(seconds))


def time_decoding(videos: Sequence[VideoJob], spec: Spec, options: EngineOptions, *, repeats: int) -> Decoding | None:
    """Decode videos as an extraction does, and let the pictures go where they are made.

    Returns:
        ``None`` when not one of them could be decoded.
    """
    with decoding_processes(options) as pool:
        num_clips, _ = decode_once(pool, videos, spec, options.decoder)
        if not num_clips:
            return None
        costs: list[DecodingCost] = []
        together = repeat(
            lambda: costs.append(decode_once(pool, videos, spec, options.decoder)[1]),
            num_clips=num_clips,
            repeats=repeats,
            warm_up=False,
        )
    return Decoding(together=together, costs=tuple(costs), workers=min(options.decode_workers, len(videos)))


def decoding_processes(options: EngineOptions) -> IsolatedPool:
    """Processes that :func:`decode_once` can use."""
    return IsolatedPool(options.decode_workers, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"])


def decode_once(pool: IsolatedPool, videos: Sequence[VideoJob], spec: Spec, decoder: str) -> tuple[int, DecodingCost]:
    """Decode videos, those that can't be decoded left out.

    Returns:
        How many clips there are, and what one costs.
    """
    futures = [(len(video.clips), pool.submit(time_video, video, spec, decoder)) for video in videos]
    clips, found = 0, []
    for of_video, future in futures:
        try:
            found.append(future.result())
        except VideoError:  # an extraction will record it
            continue
        clips += of_video
    read, preprocess, cores = (
        sum(getattr(cost, part) for cost in found) / max(1, clips) for part in ("read", "preprocess", "cores")
    )
    return clips, DecodingCost(read=read, preprocess=preprocess, cores=cores)


def time_video(video: VideoJob, spec: Spec, decoder: str) -> DecodingCost:
    """Decode one video in this process; what it cost, all clips together."""
    started = time.process_time()
    decoded = decode(video, spec, decoder)
    return DecodingCost(
        read=decoded.read_seconds, preprocess=decoded.preprocess_seconds, cores=time.process_time() - started
    )


def time_forward(
    backbone: Backbone, spec: Spec, *, batch_size: int, repeats: int, num_batches: int = 1, warm_up: bool = True
) -> Timing:
    """Push batches through the backbone that are on the device already, to features that are in memory here.

    Args:
        backbone: on its device.
        spec: for the pools and the frames of a clip.
        batch_size: clips at once; of a stream net videos side by side, each in its middle.
        repeats: how often it is timed.
        num_batches: batches each time, one after the other.
        warm_up: see :func:`~fouls.pipeline.benchmark.timing.repeat`.
    """
    size = backbone.preprocessing.crop
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, spec.sampling.num_frames, size, size, 3)
    pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    num_clips = num_batches * batch_size
    if spec.sampling.kind == "stream":
        with ThreadPoolExecutor(batch_size) as videos:
            stream = _streams(backbone, pictures, spec.pools, videos, num_batches)
            return repeat(stream, num_clips=num_clips, repeats=repeats, warm_up=warm_up)
    x = backbone.normalise(pictures)

    def forward() -> None:
        for _ in range(num_batches):
            for feature in backbone.features(x, spec.pools).values():
                feature.cpu()

    return repeat(forward, num_clips=num_clips, repeats=repeats, warm_up=warm_up)


def _streams(
    backbone: Backbone, pictures: torch.Tensor, pools: Sequence[str], threads: ThreadPoolExecutor, num_rows: int
) -> Callable[[], None]:
    """Goes on with as many videos as there are pictures of, by some rows each."""
    videos: Sequence[torch.Tensor] = torch.split(pictures, 1)
    _, state = go_on(backbone, videos[0], None, pools)  # as in the middle of a video

    def of_one(video: torch.Tensor) -> None:
        for _ in range(num_rows):
            go_on(backbone, video, state, pools)

    return lambda: list(threads.map(of_one, videos)).clear()


def time_writing(store: Store, *, repeats: int) -> Timing:
    """Write the blocks of a store that is filled once more, arrays and records."""
    writer, records = BlockWriter(store), store.ledger()
    blocks = [(features, record) for record in records if (features := load_done(store, record)) is not None]
    num_clips = sum(stop - start for _, record in blocks for start, stop in record.done)

    def write() -> None:
        for features, record in blocks:
            writer.commit(features, record)

    return repeat(write, num_clips=num_clips, repeats=repeats)


def measure_peak(device: torch.device, precision: Precision, *, repeats: int, size: int = PRODUCT_SIZE) -> float:
    """Operations a second of a product of large square matrices: two for each multiply-add, the median."""
    left, right = (
        torch.randn(size, size, generator=torch.Generator().manual_seed(seed)).to(device, DTYPES[precision])
        for seed in (0, 1)
    )

    def multiply() -> None:
        torch.mm(left, right)[0, 0].item()  # waits for the device

    return 2 * size**3 * repeat(multiply, num_clips=1, repeats=repeats).clips_per_second
