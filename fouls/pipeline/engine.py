"""One block after the other through decode → preprocess → forward → pool → write → commit.

An engine belongs to one process and one device. Several threads may run blocks on it: one waits for frames or writes
while another is in the backbone, and that is how the stages overlap.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
import torch

from fouls.cache.blocks import BlockWriter, Features, block_span, empty_features, load_done
from fouls.cache.ledger import BlockRecord, RowFailure, from_ranges, to_ranges
from fouls.cache.quarantine import failed_again
from fouls.cache.store import Store
from fouls.errors import VideoError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import Batch, DecodingCost, batches
from fouls.pipeline.decoding import DecodedVideo, decode
from fouls.pipeline.jobs import BlockJob, VideoJob
from fouls.pipeline.streaming import Streams, stream_video
from fouls.video.isolation import IsolatedPool

BLOCKS_IN_FLIGHT = 2
"""Threads an engine: while one block is in the backbone, the next is being decoded and the last is being written."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine works; nothing here changes what comes out, but for rounding."""

    batch_size: int
    """Clips in one forward pass."""
    decoder: str = "auto"
    decode_workers: int = 1
    """Decoding processes."""
    decode_timeout_seconds: float = 120.0
    """For one video in one block."""


@dataclass
class _BlockState:
    """What stands of a block while it is being worked on."""

    features: Features
    done: set[int] = field(default_factory=set)
    failures: dict[int, RowFailure] = field(default_factory=dict)
    decoders: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def fail(self, row: int, video_id: str, error: VideoError) -> None:
        """Note a row's failure; attempts count up."""
        self.failures[row] = failed_again(self.failures.get(row), row=row, video_id=video_id, error=error)

    def succeed(self, row: int, decoder: str) -> None:
        """Note a row as done."""
        self.done.add(row)
        self.failures.pop(row, None)
        self.decoders[decoder].add(row)


class Engine:
    """A backbone on one device, decoding processes, and a writer for one store."""

    def __init__(self, store: Store, backbone: Backbone, options: EngineOptions) -> None:
        self.store = store
        self.backbone = backbone
        self.options = options
        self._writer = BlockWriter(store)
        self._backbone_is_free = threading.Lock()
        self._cancelled = threading.Event()
        self._pool = IsolatedPool(
            options.decode_workers, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"]
        )

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, traceback)

    def cancel(self) -> None:
        """Let the blocks in flight end without a commit: at their next batch, or at once if they wait for frames."""
        self._cancelled.set()
        self._pool.close()

    def run_chain(self, chain: Sequence[BlockJob]) -> list[BlockRecord]:
        """Do the work of blocks that follow each other, in their order; see :meth:`run_block`."""
        streams = Streams()
        return [self.run_block(job, streams) for job in chain]

    def run_block(self, job: BlockJob, streams: Streams) -> BlockRecord:
        """Do one block's work and commit it.

        Args:
            job: what there is to do.
            streams: what a stream net remembers of the block before.

        Returns:
            The record that now stands in the ledger.

        Raises:
            StoreError: a feature is not finite as stored.
            CancelledError: :meth:`cancel` was called.
        """
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        state, cost = _begin(self.store, job), DecodingCost()
        if self.store.spec.sampling.kind == "stream":
            forward_seconds = self._stream_videos(job, state, streams, cost)
        else:
            forward_seconds = self._encode_batches(job, state, cost)
        for row, video_id, message in job.unplannable:
            code, _, reason = message.partition(": ")
            state.fail(row, video_id, VideoError(code, reason))
        seconds = {"read": cost.read, "preprocess": cost.preprocess, "wait": cost.wait, "forward": forward_seconds}
        record = BlockRecord(
            block=job.block,
            done=to_ranges(sorted(state.done)),
            failures=tuple(failure for _, failure in sorted(state.failures.items())),
            attempts=1 + (job.record.attempts if job.record else 0),
            decoders={name: to_ranges(sorted(rows)) for name, rows in sorted(state.decoders.items())},
            seconds={stage: round(value, 6) for stage, value in seconds.items()},
            batch_size=self.options.batch_size,
            device=str(self.backbone.device),
            started_at=started_at,
        )
        return self._writer.commit(state.features, record)

    def _encode_batches(self, job: BlockJob, state: _BlockState, cost: DecodingCost) -> float:
        """Fill a block batch by batch.

        Returns:
            The seconds that the backbone took.
        """
        seconds = 0.0
        first_row, stop_row = block_span(self.store, job.block)
        for batch in batches(
            job.videos,
            rows=range(first_row, stop_row),
            batch_size=self.options.batch_size,
            spec=self.store.spec,
            submit=self._submit,
            cost=cost,
        ):
            self._check_cancelled()
            if batch.decoders:
                seconds += self._forward(batch, state.features, first_row)
            for row, decoder in batch.decoders.items():
                state.succeed(row, decoder)
            for row, (video_id, error) in batch.failures.items():
                state.fail(row, video_id, error)
        return seconds

    def _stream_videos(self, job: BlockJob, state: _BlockState, streams: Streams, cost: DecodingCost) -> float:
        """Fill a block video by video, each gone through in time.

        Returns:
            The seconds that the backbone took.
        """
        seconds = 0.0
        first_row, _ = block_span(self.store, job.block)
        for video in job.videos:
            rows = stream_video(
                video,
                backbone=self.backbone,
                sampling=self.store.spec.sampling,
                pools=list(self.store.pools),
                submit=self._submit,
                streams=streams,
                free=self._backbone_is_free,
                cost=cost,
            )
            left = [clip.row for clip in video.clips]
            try:
                for row in rows:
                    self._check_cancelled()
                    seconds += row.forward_seconds
                    for pool, target in state.features.items():
                        with np.errstate(over="ignore"):
                            target[row.row - first_row] = row.features[pool]
                    state.succeed(row.row, row.decoder)
                    left.remove(row.row)
            except VideoError as error:
                for lost in left:
                    state.fail(lost, video.file.video_id, error)
        return seconds

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError

    def _submit(self, video: VideoJob) -> Future[DecodedVideo]:
        return self._pool.submit(decode, video, self.store.spec, self.options.decoder)

    def _forward(self, batch: Batch, features: Features, first_row: int) -> float:
        """Fill the features of a batch's rows.

        Returns:
            The seconds it took.
        """
        with self._backbone_is_free:
            started = time.perf_counter()
            encoded = self.backbone.features(
                self.backbone.normalise(torch.from_numpy(batch.pictures)), list(self.store.pools)
            )
            values = {pool: feature.cpu().numpy() for pool, feature in encoded.items()}
            seconds = time.perf_counter() - started
        for row in batch.decoders:
            for pool, target in features.items():
                with np.errstate(over="ignore"):  # what leaves the range becomes infinite, and the writer refuses it
                    target[row - first_row] = values[pool][row - batch.rows.start]
        return seconds


def _begin(store: Store, job: BlockJob) -> _BlockState:
    """What the ledger says is done; where that is damaged nothing is, and its rows are to do again."""
    record = job.record
    if record is None:
        return _BlockState(empty_features(store, job.block))
    failures = {failure.row: failure for failure in record.failures}
    kept = load_done(store, record)
    if kept is None:
        return _BlockState(empty_features(store, job.block), failures=failures)
    state = _BlockState(kept, done=set(from_ranges(record.done)), failures=failures)
    for decoder, ranges in record.decoders.items():
        state.decoders[decoder].update(from_ranges(ranges))
    return state
