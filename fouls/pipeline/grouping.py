"""Which blocks are done together: those of a stream that follow each other, those of several stores that share videos.

Nothing depends on the grouping but how often a video is decoded: each block is written whole, by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

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


GroupPlan = tuple[tuple[int, ...], ...]
"""For each store the blocks of a group, as places among those that it has to do."""


def group_blocks(videos: Sequence[Sequence[Sequence[int]]]) -> list[GroupPlan]:
    """Group the blocks of several stores so that those with the same videos are together.

    Args:
        videos: of each store the videos of its blocks, ascending: places in the manifest, in the order of the rows.

    Returns:
        Groups by the order of their first videos; each block is in one.
    """
    if len(videos) == 1:
        return [((number,),) for number in range(len(videos[0]))]
    blocks = [(those, store, number) for store, of_store in enumerate(videos) for number, those in enumerate(of_store)]
    blocks.sort(key=lambda block: (min(block[0]), -len(block[0])))
    drafts: list[_Draft] = []
    for those, store, number in blocks:
        if not drafts or not drafts[-1].takes(store, those):
            drafts.append(_Draft(num_stores=len(videos)))
        drafts[-1].add(store, those, number)
    return [tuple(map(tuple, draft.blocks)) for draft in drafts]


def chain_blocks(
    videos: Sequence[Sequence[int]], most: int | None = None, costs: Sequence[int] | None = None
) -> list[GroupPlan]:
    """Blocks of one store that follow each other and share a video, together: a stream is done in its order.

    Args:
        videos: of each block its videos, as places in the manifest, in the order of the rows.
        most: blocks of a group; ``None``: any number.
        costs: of each block what it costs that a group begins with it, though it goes on with a video; ``None``: of all
            the same. Longer chains are cut where that costs least in all.
    """
    chains: list[list[int]] = []
    for number, those in enumerate(videos):
        if number and videos[number - 1][-1] == those[0]:
            chains[-1].append(number)
        else:
            chains.append([number])
    if most is None:
        return [(tuple(chain),) for chain in chains]
    parts = [part for chain in chains for part in _cut(chain, most, costs or [1] * len(videos))]
    return [(tuple(part),) for part in parts]


def _cut(chain: Sequence[int], most: int, costs: Sequence[int]) -> list[Sequence[int]]:
    """The parts of a chain, none longer than ``most``, whose beginnings cost least; of those, the fewest."""
    cheapest: list[tuple[int, int]] = [(0, 0)]  # what the first n blocks cost, and in how many parts
    begins = [0]  # of the last of those parts
    for stop in range(1, len(chain) + 1):
        tried = []
        for start in range(max(0, stop - most), stop):
            cost, parts = cheapest[start]
            tried.append((cost + (costs[chain[start]] if start else 0), parts + 1, -start))
        cost, parts, start = min(tried)
        cheapest.append((cost, parts))
        begins.append(-start)
    found: list[Sequence[int]] = []
    stop = len(chain)
    while stop:
        found.append(chain[begins[stop] : stop])
        stop = begins[stop]
    return found[::-1]


class _Draft:
    """A group while blocks are added."""

    def __init__(self, num_stores: int) -> None:
        self.blocks: list[list[int]] = [[] for _ in range(num_stores)]
        self._videos: set[int] = set()
        self._finished: list[set[int]] = [set() for _ in range(num_stores)]
        self._last: list[int | None] = [None] * num_stores
        self._overhangs = 0

    def takes(self, store: int, videos: Collection[int]) -> bool:
        """Whether a block belongs here.

        A video that the store has finished here does not come again: a store's blocks are done one after another, and
        its pictures would wait all the while.
        """
        if self._videos.isdisjoint(videos) or not self._finished[store].isdisjoint(videos):
            return False
        return self._videos.issuperset(videos) or self._overhangs < MAX_OVERHANGS

    def add(self, store: int, videos: Sequence[int], number: int) -> None:
        """Add a block. Its last video may go on in the next one."""
        self._overhangs += bool(self._videos) and not self._videos.issuperset(videos)
        self._videos.update(videos)
        last = self._last[store]
        self._finished[store].update(videos[:-1] if last is None else [last, *videos[:-1]])
        self._finished[store].discard(videos[-1])
        self._last[store] = videos[-1]
        self.blocks[store].append(number)
