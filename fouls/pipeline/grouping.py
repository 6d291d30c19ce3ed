"""Which blocks are done together: those of a stream that follow each other, those of several stores that share videos.

Nothing depends on the grouping but how often a video is decoded: each block is written whole, by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fouls.pipeline.jobs import BlockJob

MAX_OVERHANGS = 8
"""Blocks of a group that begin with videos that it has and go on to others. Where the blocks of two stores never end at
the same video, all would make one group; it is cut there, and the videos at the cut are decoded twice."""


@dataclass(frozen=True, kw_only=True)
class BlockGroup:
    """Blocks that one engine does together: the Dask task."""

    blocks: tuple[tuple[BlockJob, ...], ...]
    """For each store its blocks, in the order in which they are done; empty where it has nothing to do here."""

    @property
    def name(self) -> str:
        """What no other group of a run is called."""
        return "+".join(f"{store}-{blocks[0].block}" for store, blocks in enumerate(self.blocks) if blocks)


def group_blocks(jobs: Sequence[Sequence[BlockJob]], order: Mapping[str, int]) -> list[BlockGroup]:
    """Group the blocks of several stores so that those with the same videos are together.

    Args:
        jobs: of each store, ascending.
        order: video_id → its place in the manifest.

    Returns:
        Groups by the order of their first videos; each block is in one.
    """
    if len(jobs) == 1:
        return [BlockGroup(blocks=((job,),)) for job in jobs[0]]
    placed = [(_videos(job), store, job) for store, blocks in enumerate(jobs) for job in blocks]
    placed.sort(key=lambda block: (min(order[video] for video in block[0]), -len(block[0])))
    drafts: list[_Draft] = []
    for videos, store, job in placed:
        if not drafts or not drafts[-1].takes(store, videos):
            drafts.append(_Draft(num_stores=len(jobs)))
        drafts[-1].add(store, videos, job)
    return [BlockGroup(blocks=tuple(map(tuple, draft.blocks))) for draft in drafts]


def chain_blocks(jobs: Sequence[BlockJob]) -> list[BlockGroup]:
    """Blocks of one store that follow each other and share a video, together: a stream is done in its order."""
    found: list[list[BlockJob]] = [[job] for job in jobs[:1]]
    for before, job in pairwise(jobs):
        shared = before.videos and job.videos and before.videos[-1].file == job.videos[0].file
        if shared:
            found[-1].append(job)
        else:
            found.append([job])
    return [BlockGroup(blocks=(tuple(chain),)) for chain in found]


class _Draft:
    """A group while blocks are added."""

    def __init__(self, num_stores: int) -> None:
        self.blocks: list[list[BlockJob]] = [[] for _ in range(num_stores)]
        self._videos: set[str] = set()
        self._finished: list[set[str]] = [set() for _ in range(num_stores)]
        self._overhangs = 0

    def takes(self, store: int, videos: Collection[str]) -> bool:
        """Whether a block belongs here.

        A video that the store has finished here does not come again: a store's blocks are done one after another, and
        its pictures would wait all the while.
        """
        if self._videos.isdisjoint(videos) or not self._finished[store].isdisjoint(videos):
            return False
        return self._videos.issuperset(videos) or self._overhangs < MAX_OVERHANGS

    def add(self, store: int, videos: Collection[str], job: BlockJob) -> None:
        """Add a block."""
        self._overhangs += bool(self._videos) and not self._videos.issuperset(videos)
        self._videos.update(videos)
        self._finished[store].update(_videos(self.blocks[store][-1]) if self.blocks[store] else ())
        self._finished[store].update(videos)
        if job.videos:  # its last video may go on in the next block
            self._finished[store].discard(job.videos[-1].file.video_id)
        self.blocks[store].append(job)


def _videos(job: BlockJob) -> list[str]:
    """The videos of a block, those that can only fail among them; none twice."""
    names = [video.file.video_id for video in job.videos] + [video_id for _, video_id, _ in job.unplannable]
    return list(dict.fromkeys(names))
