"""Blocks as units of work. Everything here pickles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.ledger import BlockRecord
from fouls.manifests.paths import resolved_paths
from fouls.pipeline.augmentation import ClipKey
from fouls.video.downloads import Downloads
from fouls.video.frame_index import is_url

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


def video_files(manifest: pa.Table, downloads: Downloads | None = None) -> dict[str, VideoFile]:
    """video_id → its file, of every row of a manifest; ``downloads`` tells what may be done about URLs."""
    names = ["video_id", "size_bytes", "modified_ns", "content_hash"]
    columns = [resolved_paths(manifest), *(manifest[name] for name in names)]
    return {
        video_id: VideoFile(
            video_id=video_id,
            path=path,
            size_bytes=size,
            modified_ns=modified,
            content_hash=content_hash,
            downloads=downloads if is_url(path) else None,
        )
        for path, video_id, size, modified, content_hash in zip(*(c.to_pylist() for c in columns), strict=True)
    }


def make_video_jobs(rows: pa.Table, files: Mapping[str, VideoFile]) -> tuple[VideoJob, ...]:
    """One job for neighbouring rows of one video; the rows must have frames."""
    jobs = []
    columns = ["row", "video_id", "clip", "crop", "augment", "frame_indices"]
    columns += ["content_hash", "segment_start", "segment_stop"]
    for video_id, clips in _by_video(rows.select(columns)):
        origin = clips[0]["segment_start"] or 0
        jobs.append(VideoJob(file=files[video_id], clips=tuple(_clip_job(clip) for clip in clips), origin=origin))
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


def _by_video(rows: pa.Table) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for video_id, clips in groupby(rows.to_pylist(), key=itemgetter("video_id")):
        yield video_id, list(clips)
