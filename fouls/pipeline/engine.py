"""Blocks through decode → preprocess → forward → pool → write → commit, on one device, for one store or several.

An engine belongs to one process and one device. Several threads may run groups of blocks on it: one waits for frames
or writes while another is in the backbone, and that is how the stages overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from fouls.cache.ledger import BlockRecord
from fouls.cache.store import Store
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import Submit
from fouls.pipeline.decoding import DecodedVideo, decode
from fouls.pipeline.filling import Filler
from fouls.pipeline.forwarding import Forwarding
from fouls.pipeline.grouping import BlockGroup
from fouls.pipeline.growth import Growth
from fouls.pipeline.jobs import BlockJob, VideoJob
from fouls.pipeline.sharing import SharedDecoding, divide_group
from fouls.pipeline.streaming import Streams, streams_at_once
from fouls.video.isolation import IsolatedPool


def groups_in_flight(device: str, streams: int | None = None) -> int:
    """Threads an engine, each with a group: one has a batch in the backbone, one the next batch ready.

    On a GPU a batch takes no longer than to gather the next one's pictures, and a block is a few batches: there a third
    writes.

    Args:
        device: of the engine.
        streams: videos that go through a stream net side by side, a group each; ``None``: it takes clips.
    """
    if streams is not None:
        return streams + 1
    return 3 if device.startswith("cuda") else 2


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine works; nothing here changes what comes out."""

    decoder: str = "auto"
    decode_workers: int = 1
    """Decoding processes."""
    max_decode_workers: int | None = None
    """To which their number grows while the backbone waits for frames, see :mod:`.growth`; ``None``: it stays."""
    decode_timeout_seconds: float = 120.0
    """For one video in one block."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A store that an engine fills."""

    store: Store
    backbone: Backbone
    """On the engine's device."""
    batch_size: int
    """Clips in one forward pass; it changes what comes out by rounding."""


@dataclass(frozen=True, kw_only=True)
class DoneBlock:
    """A block that is committed."""

    store: int
    """Which of the engine's."""
    record: BlockRecord
    num_rows: int
    """Rows on which this work has decided."""


class Engine:
    """Backbones on one device that fill a store each, and the decoding processes that they share.

    Args:
        members: the stores; their backbones are on one device.
        options: see :class:`EngineOptions`.
        pool: decoding processes; ``None``: as many as the options say.

    Attributes:
        groups_in_flight: threads that keep the device busy, each running a group.
    """

    def __init__(self, members: Sequence[Member], options: EngineOptions, pool: IsolatedPool | None = None) -> None:
        self.options = options
        self._cancelled = threading.Event()
        device = members[0].backbone.device
        streams = streams_at_once(device) if members[0].store.spec.sampling.kind == "stream" else None
        forwarding = Forwarding([member.backbone for member in members], streams=streams)
        self._fillers = [
            Filler(member.store, member.backbone, member.batch_size, forwarding=forwarding, cancelled=self._cancelled)
            for member in members
        ]
        self.groups_in_flight = groups_in_flight(str(device), streams)
        self._pool = pool or IsolatedPool(
            options.decode_workers, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"]
        )
        self._growth = Growth(
            self._pool,
            options.max_decode_workers,
            at_once=streams or 1,
            blocks=2 * self.groups_in_flight,
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

    def run(self, group: BlockGroup) -> list[DoneBlock]:
        """Do the work of a group; each block is committed as soon as it is done.

        A store's blocks are done one after another, those of several stores side by side, batch by batch: the store
        that is behind in the videos goes on first, so that few decoded pictures wait.

        Raises:
            StoreError: a feature is not finite as stored.
            CancelledError: :meth:`cancel` was called.
        """
        busy = [store for store, blocks in enumerate(group.blocks) if blocks]
        submit, reached = self._decode, [0] * len(group.blocks)
        several_blocks = any(len(blocks) > 1 for blocks in group.blocks)
        if len(busy) > 1 or (several_blocks and self._fillers[busy[0]].store.spec.sampling.kind != "stream"):
            specs = [filler.store.spec for filler in self._fillers]
            group, pieces = divide_group(group, specs)
            shared = SharedDecoding(pieces, specs, self.options.decoder, self._pool)
            submit, reached = shared.submit, shared.reached
        lanes = {store: self._fill_blocks(store, group.blocks[store], partial(submit, store)) for store in busy}
        done: list[DoneBlock] = []
        while lanes:
            behind = min(lanes, key=reached.__getitem__)
            try:
                next(lanes[behind])
            except StopIteration as ended:
                done += ended.value
                del lanes[behind]
        return done

    def _fill_blocks(
        self, store: int, blocks: Sequence[BlockJob], submit: Submit
    ) -> Generator[None, None, list[DoneBlock]]:
        """Do a store's blocks in their order, pausing after each batch."""
        streams = Streams()
        done = []
        for job in blocks:
            record = yield from self._fillers[store].fill(job, submit, streams)
            self._growth.note(record.seconds)
            done.append(DoneBlock(store=store, record=record, num_rows=job.num_rows))
        return done

    def _decode(self, store: int, video: VideoJob) -> Future[DecodedVideo]:
        return self._pool.submit(decode, video, self._fillers[store].store.spec, self.options.decoder)
