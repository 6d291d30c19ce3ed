"""Blocks as units of work, made from the row index, the ledger and the manifest. Everything here pickles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.ledger import BlockRecord
from fouls.cache.quarantine import Retry
from fouls.cache.rows import read_rows
from fouls.cache.store import FAILED, TO_DO, Store, row_status
from fouls.errors import StoreError
from fouls.pipeline.augmentation import ClipKey
from fouls.video.downloads import Downloads

Cut = int | ClipKey
"""A crop's number, or the key from which an augmented clip draws its box."""


@dataclass(frozen=True, kw_only=True)
class ClipJob:
    """One row to do."""

    row: int
    crop: int
    indices: npt.NDArray[np.int32]
    """Native frames, (F,)."""
    key: ClipKey | None = None
    """What an augmented clip draws its box from; ``None`` in the plain pass."""

    @property
    def cut(self) -> Cut:
        """How its frames are cut."""
        return self.crop if self.key is None else self.key


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A file, as the manifest describes it: what is decoded must be what was probed."""

    video_id: str
    path: str
    size_bytes: int | None
    modified_ns: int | None
    content_hash: str | None
    downloads: Downloads | None = None
    """What may be downloaded, where the path is a URL; ``None``: nothing."""


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """The rows of one video in one block: decoded together, each frame once."""

    file: VideoFile
    clips: tuple[ClipJob, ...]
    origin: int = 0
    """Native frame at which the video, or its segment, begins."""


@dataclass(frozen=True, kw_only=True)
class BlockJob:
    """One block's work: the Dask task, and the unit of commit and retry."""

    block: int
    videos: tuple[VideoJob, ...]
    unplannable: tuple[tuple[int, str, str], ...]
    """Rows that can only fail: (row, video_id, "class: message")."""
    record: BlockRecord | None
    """What the ledger has of it."""

    @property
    def num_rows(self) -> int:
        """Rows on which this job will decide."""
        return sum(len(video.clips) for video in self.videos) + len(self.unplannable)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is left to do."""

    jobs: tuple[BlockJob, ...]
    orphans: int
    """Rows to do whose video no manifest names any more."""

    @property
    def num_rows(self) -> int:
        """Rows that the jobs will decide on."""
        return sum(job.num_rows for job in self.jobs)


def find_work(
    store: Store, manifest: pa.Table, paths: list[str], *, retry: Retry | None, downloads: Downloads | None = None
) -> Work:
    """The blocks that have rows to do.

    Args:
        store: planned, see ``plan.py``.
        manifest: where the videos are; rows of videos that it lacks are left alone and counted.
        paths: absolute path of every manifest row.
        retry: which rows that failed are to be done again; ``None``: none.
        downloads: what may be downloaded of videos at URLs; ``None``: nothing.
    """
    rows, retired = read_rows(store.path)
    ledger = {record.block: record for record in store.ledger()}
    status = row_status(rows, retired, list(ledger.values()))
    wanted = status == TO_DO
    if retry is not None:
        again = {failure.row for record in ledger.values() for failure in record.failures if retry.wants(failure)}
        wanted |= (status == FAILED) & np.isin(rows["row"].to_numpy(), list(again))
    return make_jobs(rows.filter(pa.array(wanted)), store.block_rows, manifest, paths, ledger, downloads)


def make_jobs(
    rows: pa.Table,
    block_rows: int,
    manifest: pa.Table,
    paths: list[str],
    ledger: Mapping[int, BlockRecord],
    downloads: Downloads | None = None,
) -> Work:
    """The jobs for some rows of an index, block by block; see :func:`find_work`."""
    files = video_files(manifest, paths, downloads)
    known = np.array([video_id in files for video_id in rows["video_id"].to_pylist()], dtype=bool)
    rows = rows.filter(pa.array(known))
    blocks = rows["row"].to_numpy() // block_rows
    edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=-1))
    jobs = [
        _block_job(int(blocks[start]), rows.slice(start, stop - start), files, ledger)
        for start, stop in pairwise(edges)
    ]
    return Work(jobs=tuple(jobs), orphans=int((~known).sum()))


def video_files(manifest: pa.Table, paths: list[str], downloads: Downloads | None = None) -> dict[str, VideoFile]:
    """video_id → its file, of every row of a manifest; ``paths`` are the absolute ones."""
    names = ["video_id", "size_bytes", "modified_ns", "content_hash"]
    columns = [manifest[name].to_pylist() for name in names]
    return {
        video_id: VideoFile(
            video_id=video_id,
            path=path,
            size_bytes=size,
            modified_ns=modified,
            content_hash=content_hash,
            downloads=downloads,
        )
        for path, video_id, size, modified, content_hash in zip(paths, *columns, strict=True)
    }


def make_video_jobs(rows: pa.Table, files: Mapping[str, VideoFile]) -> tuple[VideoJob, ...]:
    """One job for neighbouring rows of one video; the rows must have frames.

    Raises:
        StoreError: a video was planned from other content than ``files`` has.
    """
    jobs = []
    columns = ["row", "video_id", "clip", "crop", "augment", "frame_indices"]
    columns += ["content_hash", "segment_start", "segment_stop"]
    for video_id, clips in _by_video(rows.select(columns)):
        file = files[video_id]
        if file.content_hash not in (clips[0]["content_hash"], None):
            raise StoreError(f"video {video_id!r} is planned from other content than the manifest has: plan first")
        origin = clips[0]["segment_start"] or 0
        jobs.append(VideoJob(file=file, clips=tuple(_clip_job(clip) for clip in clips), origin=origin))
    return tuple(jobs)


def _clip_job(clip: dict[str, Any]) -> ClipJob:
    indices = np.array(clip["frame_indices"], dtype=np.int32)
    return ClipJob(row=clip["row"], crop=clip["crop"], indices=indices, key=_clip_key(clip))


def _clip_key(clip: dict[str, Any]) -> ClipKey | None:
    if not clip["augment"]:
        return None
    content = clip["content_hash"] or clip["video_id"]
    segment = (clip["segment_start"], clip["segment_stop"])
    return ClipKey(content=content, segment=segment, clip=clip["clip"], augment=clip["augment"])


def _block_job(
    block: int, rows: pa.Table, files: Mapping[str, VideoFile], ledger: Mapping[int, BlockRecord]
) -> BlockJob:
    planned = pc.is_null(rows["plan_error"])
    hopeless = rows.filter(pc.invert(planned)).select(["row", "video_id", "plan_error"]).to_pylist()
    return BlockJob(
        block=block,
        videos=make_video_jobs(rows.filter(planned), files),
        unplannable=tuple((row["row"], row["video_id"], row["plan_error"]) for row in hopeless),
        record=ledger.get(block),
    )


def _by_video(rows: pa.Table) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for video_id, clips in groupby(rows.to_pylist(), key=itemgetter("video_id")):
        yield video_id, list(clips)
