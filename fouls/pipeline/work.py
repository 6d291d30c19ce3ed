"""What is left to do in a store: found for all rows at once, made into jobs block by block as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.ledger import BlockRecord
from fouls.cache.quarantine import Retry
from fouls.cache.rows import read_rows
from fouls.cache.store import FAILED, TO_DO, Store, row_status
from fouls.errors import StoreError
from fouls.pipeline.jobs import BlockJob, make_video_jobs, video_files
from fouls.video.downloads import Downloads

Ints = npt.NDArray[np.int64]

_READ = ["row", "video_id", "clip", "crop", "augment", "frame_indices"]
_READ += ["content_hash", "segment_start", "segment_stop", "plan_error"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is left to do in a store. Its jobs are made when they are asked for: there may be tens of thousands."""

    rows: pa.Table
    """Those to do whose videos the manifest names, ascending."""
    places: Ints
    """Where in the manifest the video of each row stands, (rows,)."""
    edges: Ints
    """(blocks + 1,): block b of those with something to do has the rows [edges[b], edges[b + 1])."""
    block_rows: int
    manifest: pa.Table
    ledger: Mapping[int, BlockRecord]
    """Block number → what the ledger has of it."""
    orphans: int
    """Rows to do whose video no manifest names any more; they are left alone."""
    downloads: Downloads | None = None
    """What may be downloaded of videos at URLs; ``None``: nothing."""

    def __len__(self) -> int:
        """Blocks with something to do."""
        return len(self.edges) - 1

    @property
    def num_rows(self) -> int:
        """Rows that the jobs will decide on."""
        return int(self.rows.num_rows)

    def videos(self, number: int) -> list[int]:
        """The videos of a block, as places in the manifest: in the order of its rows, none twice."""
        return list(dict.fromkeys(self.places[self.edges[number] : self.edges[number + 1]].tolist()))

    def job(self, number: int) -> BlockJob:
        """The job of a block, 0 … len − 1."""
        start, stop = self.edges[number], self.edges[number + 1]
        rows = self.rows.slice(start, stop - start)
        block = int(rows["row"][0].as_py()) // self.block_rows
        files = video_files(self.manifest.take(pa.array(np.unique(self.places[start:stop]))), self.downloads)
        planned = pc.is_null(rows["plan_error"])
        hopeless = rows.filter(pc.invert(planned)).select(["row", "video_id", "plan_error"]).to_pylist()
        return BlockJob(
            block=block,
            videos=make_video_jobs(rows.filter(planned), files),
            unplannable=tuple((row["row"], row["video_id"], row["plan_error"]) for row in hopeless),
            record=self.ledger.get(block),
        )

    def jobs(self) -> Iterator[BlockJob]:
        """All jobs, one after another."""
        return map(self.job, range(len(self)))


def find_work(store: Store, manifest: pa.Table, *, retry: Retry | None, downloads: Downloads | None = None) -> Work:
    """The blocks that have rows to do.

    Args:
        store: planned, see ``plan.py``.
        manifest: where the videos are; rows of videos that it lacks are left alone and counted.
        retry: which rows that failed are to be done again; ``None``: none.
        downloads: see :class:`Work`.

    Raises:
        StoreError: a video was planned from other content than the manifest has.
    """
    rows, retired = read_rows(store.path, _READ)
    ledger = {record.block: record for record in store.ledger()}
    status = row_status(rows, retired, list(ledger.values()))
    wanted = status == TO_DO
    if retry is not None:
        again = {failure.row for record in ledger.values() for failure in record.failures if retry.wants(failure)}
        wanted |= (status == FAILED) & np.isin(rows["row"].to_numpy(), list(again))
    work = make_work(_picked(rows, pa.array(wanted)), store.block_rows, manifest, ledger)
    return replace(work, downloads=downloads)


def make_work(rows: pa.Table, block_rows: int, manifest: pa.Table, ledger: Mapping[int, BlockRecord]) -> Work:
    """The work on some rows of an index; see :func:`find_work`."""
    manifest = manifest.select(["video_id", "path", "size_bytes", "modified_ns", "content_hash"]).combine_chunks()
    found = pc.index_in(rows["video_id"], value_set=manifest["video_id"].combine_chunks())
    known = pc.is_valid(found)
    rows, places = _picked(rows, known).combine_chunks(), pc.drop_null(found).to_numpy().astype(np.int64)
    _check_content(rows, manifest["content_hash"].take(pa.array(places)))
    blocks = rows["row"].to_numpy() // block_rows
    edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=-1)) if len(blocks) else np.zeros(1, dtype=np.int64)
    return Work(
        rows=rows,
        places=places,
        edges=edges,
        block_rows=block_rows,
        manifest=manifest,
        ledger=ledger,
        orphans=len(known) - rows.num_rows,
    )


def _picked(rows: pa.Table, mask: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The rows where a mask is true; of a million, all of which are, there is no second copy."""
    return rows if pc.all(mask, min_count=0).as_py() else rows.filter(mask)


def _check_content(rows: pa.Table, now: pa.ChunkedArray) -> None:
    """Refuse rows of other content than the manifest has; what can't be read now has no hash, and may stay."""
    same = pc.fill_null(pc.equal(rows["content_hash"], now), False)
    other = pc.index(pc.and_(pc.invert(same), pc.is_valid(now)), True).as_py()
    if other >= 0:
        video_id = rows["video_id"][other].as_py()
        raise StoreError(f"video {video_id!r} is planned from other content than the manifest has: plan first")
