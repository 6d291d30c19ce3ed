"""Videos that several stores need are decoded once: a store's pictures wait until it gets to them.

A group's work on a video is one decoding task, or several where its pictures would be too many. Such a *piece* has jobs
of all the stores, about the same stretch of the video for each.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise

from fouls.cache.spec import Spec
from fouls.errors import VideoError
from fouls.pipeline.batches import max_pictures, num_pictures
from fouls.pipeline.decoding import DecodedVideo, decode, decode_together
from fouls.pipeline.grouping import BlockGroup
from fouls.pipeline.jobs import ClipJob, VideoJob
from fouls.video.isolation import IsolatedPool

Key = tuple[int, int]
"""Store and first row: what no other video job of a group has."""


@dataclass(frozen=True, kw_only=True)
class SharedJob:
    """A store's part of a piece: one video in one block."""

    store: int
    video: VideoJob

    @property
    def key(self) -> Key:
        """What it is called."""
        return self.store, self.video.clips[0].row


Piece = tuple[SharedJob, ...]
"""What is decoded in one task: jobs of one file."""


def divide_group(group: BlockGroup, specs: Sequence[Spec]) -> tuple[BlockGroup, list[Piece]]:
    """Divide a group's work into pieces.

    Args:
        group: blocks of several stores.
        specs: of the stores.

    Returns:
        The group, with its video jobs divided as the pieces are; and the pieces, in the order of the videos.
    """
    by_video: dict[str, list[SharedJob]] = defaultdict(list)
    for store, blocks in enumerate(group.blocks):
        for block in blocks:
            for video in block.videos:
                by_video[video.file.video_id].append(SharedJob(store=store, video=video))
    pieces: list[Piece] = []
    parts: dict[Key, list[VideoJob]] = defaultdict(list)
    for video_id in _merged_order(group):
        drafts: dict[int, list[SharedJob]] = defaultdict(list)
        for job, number, part in _divided(by_video[video_id], [max_pictures(spec) for spec in specs]):
            drafts[number].append(part)
            parts[job.key].append(part.video)
        pieces += [tuple(drafts[number]) for number in sorted(drafts)]
    blocks_of = [
        tuple(
            replace(block, videos=tuple(part for video in block.videos for part in parts[store, video.clips[0].row]))
            for block in blocks
        )
        for store, blocks in enumerate(group.blocks)
    ]
    return BlockGroup(blocks=tuple(blocks_of)), pieces


def _divided(jobs: Sequence[SharedJob], most: Sequence[int]) -> Iterator[tuple[SharedJob, int, SharedJob]]:
    """Each job of one video, with the number of a piece and the part of the job that is in it."""
    clips_of: dict[int, list[ClipJob]] = defaultdict(list)
    for job in jobs:
        clips_of[job.store] += job.video.clips
    count = _num_pieces(clips_of, most)
    seen: dict[int, int] = defaultdict(int)
    for job in jobs:
        first, total = seen[job.store], len(clips_of[job.store])
        seen[job.store] += len(job.video.clips)
        numbered = [((first + place) * count // total, clip) for place, clip in enumerate(job.video.clips)]
        for number, members in groupby(numbered, key=lambda member: member[0]):
            video = replace(job.video, clips=tuple(clip for _, clip in members))
            yield job, number, SharedJob(store=job.store, video=video)


def _num_pieces(clips_of: Mapping[int, Sequence[ClipJob]], most: Sequence[int]) -> int:
    """The fewest pieces of which none needs more pictures than a task may hand over.

    A store's part of a piece never needs more than a task may have of it alone: nobody divides it again.
    """
    needed = sum(num_pictures(clips) / most[store] for store, clips in clips_of.items())
    for count in range(max(1, math.ceil(needed)), max(map(len, clips_of.values()))):
        shares = [0.0] * count
        for store, clips in clips_of.items():
            edges = [_ceil(number * len(clips), count) for number in range(count + 1)]
            for number, (start, stop) in enumerate(pairwise(edges)):
                shares[number] += num_pictures(clips[start:stop]) / most[store]
        if max(shares) <= 1:
            return count
    return max(map(len, clips_of.values()))


def _merged_order(group: BlockGroup) -> list[str]:
    """The videos of a group, none twice, in an order that keeps to that of each store as far as they agree."""
    merged: list[str] = []
    known: set[str] = set()
    for blocks in group.blocks:
        place = 0
        for video_id in (video.file.video_id for block in blocks for video in block.videos):
            if video_id in known:
                place = merged.index(video_id) + 1
            else:
                merged.insert(place, video_id)
                known.add(video_id)
                place += 1
    return merged


class SharedDecoding:
    """The decoding tasks of one group.

    Attributes:
        reached: for each store the last piece that it has asked for, -1 before the first. When the store that is behind
            goes on first, few pictures wait.
    """

    def __init__(self, pieces: Sequence[Piece], specs: Sequence[Spec], decoder: str, pool: IsolatedPool) -> None:
        self.reached = [-1] * len(specs)
        self._pieces = pieces
        self._specs = specs
        self._decoder = decoder
        self._pool = pool
        self._place = {job.key: place for place, piece in enumerate(pieces) for job in piece}
        self._futures: dict[Key, Future[DecodedVideo]] = {}

    def submit(self, store: int, video: VideoJob) -> Future[DecodedVideo]:
        """A store's part of a piece, which is decoded now if no other store has asked for its own part before."""
        key = SharedJob(store=store, video=video).key
        place = self._place[key]
        self.reached[store] = max(self.reached[store], place)
        if key not in self._futures:
            self._start(self._pieces[place])
        return self._futures.pop(key)

    def _start(self, piece: Piece) -> None:
        futures: list[Future[DecodedVideo]] = [Future() for _ in piece]
        self._futures.update({job.key: future for job, future in zip(piece, futures, strict=True)})
        if len(piece) == 1:
            self._decode_alone(piece[0], futures[0])
            return
        together = self._pool.submit(
            decode_together, [(job.video, self._specs[job.store]) for job in piece], self._decoder
        )
        together.add_done_callback(partial(self._hand_out, piece, futures))

    def _decode_alone(self, job: SharedJob, future: Future[DecodedVideo]) -> None:
        alone = self._pool.submit(decode, job.video, self._specs[job.store], self._decoder)
        alone.add_done_callback(partial(_pass_on, future))

    def _hand_out(
        self, piece: Piece, futures: Sequence[Future[DecodedVideo]], together: Future[list[DecodedVideo]]
    ) -> None:
        """Give each its own of what was decoded together; what could not be is tried one by one, as if never shared."""
        try:
            for future, decoded in zip(futures, together.result(), strict=True):
                future.set_result(decoded)
        except VideoError:
            for job, future in zip(piece, futures, strict=True):
                try:
                    self._decode_alone(job, future)
                except RuntimeError:  # the pool is closed
                    future.set_exception(CancelledError())
        except BaseException as error:
            for future in futures:
                future.set_exception(error)


def _pass_on(future: Future[DecodedVideo], source: Future[DecodedVideo]) -> None:
    try:
        future.set_result(source.result())
    except BaseException as error:
        future.set_exception(error)


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
