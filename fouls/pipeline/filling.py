"""One store's blocks: decode → preprocess → forward → pool → write → commit, in steps of a batch."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Generator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from fouls.cache.blocks import BlockWriter, Features, block_span, empty_features, load_done
from fouls.cache.ledger import BlockRecord, RowFailure, from_ranges, read_record, to_ranges
from fouls.cache.quarantine import failed_again
from fouls.cache.store import Store
from fouls.errors import VideoError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import Batch, DecodingCost, Submit, batches
from fouls.pipeline.forwarding import Forwarding
from fouls.pipeline.jobs import BlockJob
from fouls.pipeline.streaming import Streams, stream_video


@dataclass
class _BlockState:
    """What stands of a block while it is being worked on."""

    features: Features
    done: set[int] = field(default_factory=set)
    failures: dict[int, RowFailure] = field(default_factory=dict)
    decoders: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    forward_seconds: float = 0.0

    def fail(self, row: int, video_id: str, error: VideoError) -> None:
        """Note a row's failure; attempts count up."""
        self.failures[row] = failed_again(self.failures.get(row), row=row, video_id=video_id, error=error)

    def succeed(self, row: int, decoder: str) -> None:
        """Note a row as done."""
        self.done.add(row)
        self.failures.pop(row, None)
        self.decoders[decoder].add(row)


class Filler:
    """A backbone, and a writer for the store that it fills; usable from several threads.

    Args:
        store: planned.
        backbone: the one of the store's spec.
        batch_size: clips in one forward pass.
        forwarding: of the device; its backbones share it.
        cancelled: when it is set, a block ends at its next batch.
    """

    def __init__(
        self,
        store: Store,
        backbone: Backbone,
        batch_size: int,
        *,
        forwarding: Forwarding,
        cancelled: threading.Event,
    ) -> None:
        self.store = store
        self.backbone = backbone
        self.batch_size = batch_size
        self._forwarding = forwarding
        self._cancelled = cancelled
        self._writer = BlockWriter(store)

    def fill(self, job: BlockJob, submit: Submit, streams: Streams) -> Generator[None, None, BlockRecord]:
        """Do one block's work and commit it. Pauses after each batch, so that other stores' blocks can go on.

        Args:
            job: what there is to do.
            submit: starts decoding in another process.
            streams: what a stream net remembers of the block before.

        Returns:
            The record that now stands in the ledger. Where another worker has committed the block meanwhile, it is
            that worker's, and nothing is written: what a decoder did in time there may have timed out here.

        Raises:
            StoreError: a feature is not finite as stored.
            CancelledError: the engine was told to stop.
        """
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        state, cost = _begin(self.store, job), DecodingCost()
        if self.store.spec.sampling.kind == "stream":
            yield from self._stream_videos(job, state, submit, streams, cost)
        else:
            yield from self._encode_batches(job, state, submit, cost)
        for row, video_id, message in job.unplannable:
            code, _, reason = message.partition(": ")
            state.fail(row, video_id, VideoError(code, reason))
        seconds = {
            "read": cost.read,
            "preprocess": cost.preprocess,
            "wait": cost.wait,
            "forward": state.forward_seconds,
        }
        record = BlockRecord(
            block=job.block,
            done=to_ranges(sorted(state.done)),
            failures=tuple(failure for _, failure in sorted(state.failures.items())),
            attempts=1 + (job.record.attempts if job.record else 0),
            decoders={name: to_ranges(sorted(rows)) for name, rows in sorted(state.decoders.items())},
            seconds={stage: round(value, 6) for stage, value in seconds.items()},
            batch_size=self.batch_size,
            device=str(self.backbone.device),
            started_at=started_at,
        )
        return standing_record(self.store, job) or self._writer.commit(state.features, record)

    def _encode_batches(
        self, job: BlockJob, state: _BlockState, submit: Submit, cost: DecodingCost
    ) -> Generator[None, None, None]:
        """Fill a block batch by batch."""
        first_row, stop_row = block_span(self.store, job.block)
        for batch in batches(
            job.videos,
            rows=range(first_row, stop_row),
            batch_size=self.batch_size,
            spec=self.store.spec,
            submit=submit,
            cost=cost,
            pinned=self.backbone.device.type == "cuda",
        ):
            self._check_cancelled()
            if batch.decoders:
                self._forward(batch, state, first_row)
            for row, decoder in batch.decoders.items():
                state.succeed(row, decoder)
            for row, (video_id, error) in batch.failures.items():
                state.fail(row, video_id, error)
            yield

    def _stream_videos(
        self, job: BlockJob, state: _BlockState, submit: Submit, streams: Streams, cost: DecodingCost
    ) -> Generator[None, None, None]:
        """Fill a block video by video, each gone through in time."""
        first_row, _ = block_span(self.store, job.block)
        for video in job.videos:
            rows = stream_video(
                video,
                backbone=self.backbone,
                sampling=self.store.spec.sampling,
                pools=list(self.store.pools),
                submit=submit,
                streams=streams,
                free=self._forwarding.free,
                cost=cost,
            )
            left = [clip.row for clip in video.clips]
            try:
                for row in rows:
                    self._check_cancelled()
                    state.forward_seconds += row.forward_seconds
                    for pool, target in state.features.items():
                        with np.errstate(over="ignore"):
                            target[row.row - first_row] = row.features[pool]
                    state.succeed(row.row, row.decoder)
                    left.remove(row.row)
            except VideoError as error:
                for lost in left:
                    state.fail(lost, video.file.video_id, error)
            yield

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError

    def _forward(self, batch: Batch, state: _BlockState, first_row: int) -> None:
        """Fill the features of a batch's rows."""
        values, seconds = self._forwarding.features(self.backbone, batch.pictures, list(self.store.pools))
        state.forward_seconds += seconds
        for row in batch.decoders:
            for pool, target in state.features.items():
                with np.errstate(over="ignore"):  # what leaves the range becomes infinite, and the writer refuses it
                    target[row - first_row] = values[pool][row - batch.rows.start]


def standing_record(store: Store, job: BlockJob) -> BlockRecord | None:
    """The record of a block on which somebody else's work has ended since the job was made."""
    record = read_record(store.path, job.block)
    known = job.record.attempts if job.record else 0
    return record if record is not None and record.attempts > known else None


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
