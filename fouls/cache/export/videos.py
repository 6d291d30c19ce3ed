"""A store's features video by video, with what is known of each video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.blocks import finite_rows, read_chunk
from fouls.cache.export.names import file_names
from fouls.cache.rows import read_rows
from fouls.cache.store import DONE, RETIRED, Store, row_status
from fouls.errors import DamagedStoreError

TIMES = ("start_frame", "stop_frame", "start_seconds", "stop_seconds")
PLACES = ("clip", "crop")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Frames of one class, [start, stop), numbered as in the file."""

    start_frame: int
    stop_frame: int
    label: str


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a manifest says of a video; nothing, where there is none."""

    split: str = ""
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Task → the class of the video, or its classes."""
    segments: tuple[Segment, ...] | None = None
    """The frames of each class of one task; ``None``: not labelled by frame."""
    fps: float | None = None
    num_frames: int | None = None
    """Of the file, or up to the end of the segment that counts as the video."""


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """One video's features."""

    name: str
    """A safe name for a file, see :func:`fouls.cache.export.names.file_names`."""
    video_id: str
    sample_id: str
    view: int
    values: npt.NDArray[np.floating]
    """(R, …) in the stored dtype, in the order of the clips."""
    rows: pa.Table
    """Of these R rows: :data:`PLACES` and :data:`TIMES`."""
    origin: int
    """The native frame at which the video, or its segment, begins."""
    missing: int
    """Rows that were planned and are not done."""
    facts: VideoFacts

    @property
    def fps(self) -> float | None:
        """Frames a second, where they are known."""
        if self.facts.fps:
            return self.facts.fps
        last = self.rows.slice(self.rows.num_rows - 1).to_pylist()[0]
        return last["stop_frame"] / last["stop_seconds"] if last["stop_seconds"] else None

    def about(self) -> dict[str, Any]:
        """What is known of the video, as JSON types."""
        return {
            "video_id": self.video_id,
            "sample_id": self.sample_id,
            "view": self.view,
            "split": self.facts.split,
            "labels": dict(self.facts.labels),
            "fps": self.fps,
            "missing_rows": self.missing,
        }

    def to_dict(self) -> dict[str, Any]:
        """All but the values, as JSON types."""
        return {**self.about(), **{name: self.rows[name].to_pylist() for name in (*PLACES, *TIMES)}}


def read_videos(store: Store, pool: str, facts: Mapping[str, VideoFacts]) -> Iterator[VideoFeatures]:
    """The plain pass of every video that is not retired, in the order of the plan.

    A video of which nothing is done comes with no rows.

    Args:
        store: whose features.
        pool: which.
        facts: video_id → what a manifest says.

    Raises:
        DamagedStoreError: a done row can't be read back.
    """
    table, retired = read_rows(store.path)
    status = row_status(table, retired, store.ledger())
    live = (status != RETIRED) & (table["augment"].to_numpy() == 0)
    table, done = table.filter(pa.array(live)), status[live] == DONE
    video_ids = table["video_id"].to_pylist()
    names = file_names(list(dict.fromkeys(video_ids)))
    read = _reader(store, pool)
    for start, stop in _runs(video_ids):
        planned = table.slice(start, stop - start)
        rows = planned.filter(pa.array(done[start:stop]))
        first = planned.slice(0, 1).to_pylist()[0]
        yield VideoFeatures(
            name=names[first["video_id"]],
            video_id=first["video_id"],
            sample_id=first["sample_id"],
            view=first["view"],
            values=read(rows["row"].to_numpy()),
            rows=rows.select([*PLACES, *TIMES]),
            origin=first["segment_start"] or 0,
            missing=planned.num_rows - rows.num_rows,
            facts=facts.get(first["video_id"], VideoFacts()),
        )


def _runs(values: Sequence[str]) -> Iterator[tuple[int, int]]:
    """[start, stop) of equal neighbours."""
    start = 0
    for position in range(1, len(values) + 1):
        if position == len(values) or values[position] != values[start]:
            yield start, position
            start = position


def _reader(store: Store, pool: str) -> Any:
    """A function from row numbers, ascending, to their values; short videos share the block that was read last."""

    array = store[pool]

    @lru_cache(maxsize=1)
    def block(number: int) -> npt.NDArray[Any]:
        values = read_chunk(array, number)
        if values is None:
            raise DamagedStoreError(f"block {number} of pool {pool!r} is damaged: `fouls verify {store.path} --repair`")
        return values

    def read(rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        values = np.empty((len(rows), *store.pools[pool]), dtype=store.spec.stored_dtype)
        numbers = rows // store.block_rows
        for number in np.unique(numbers).tolist():
            here = numbers == number
            values[here] = block(number)[rows[here] - number * store.block_rows]
        finite = finite_rows(values)
        if not finite.all():
            raise DamagedStoreError(
                f"row {rows[~finite][0]} of pool {pool!r} is said to be done and is not finite: "
                f"`fouls verify {store.path} --repair`"
            )
        return values

    return read
