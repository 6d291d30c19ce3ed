"""Are the features what the backbone says of the videos? Some rows are extracted again, in memory, and compared."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fouls.cache.ledger import BlockRecord, from_ranges
from fouls.cache.rows import read_rows
from fouls.cache.store import DONE, Store, row_status
from fouls.errors import StoreError, VideoError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.batches import DecodingCost, Submit, batches
from fouls.pipeline.comparison import TOLERANCE, PoolComparison, compare
from fouls.pipeline.decoding import DecodedVideo, decode
from fouls.pipeline.jobs import VideoFile, VideoJob, make_video_jobs, video_files
from fouls.pipeline.plan import numbered
from fouls.pipeline.streaming import Streams, stream_video
from fouls.video.downloads import Downloads
from fouls.video.isolation import IsolatedPool

BATCH_SIZE = 4

Values = dict[str, npt.NDArray[np.floating]]
"""Pool → (rows, …)."""


@dataclass(frozen=True, kw_only=True)
class Recomputation:
    """What came of extracting rows again."""

    rows: tuple[int, ...]
    """The rows that were compared."""
    tolerance: float
    pools: dict[str, PoolComparison]
    unavailable: dict[int, str]
    """Rows that were chosen and could not be extracted again, and why."""

    @property
    def differing(self) -> tuple[int, ...]:
        """Rows that are not what the backbone says, ascending."""
        return tuple(sorted({row for compared in self.pools.values() for row in compared.differing}))

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "differing": self.differing}


def recompute(
    store: Store,
    backbone: Backbone,
    manifest: pa.Table,
    *,
    num_rows: int,
    seed: int,
    workers: int = 1,
    timeout_seconds: float = 120.0,
    downloads: Downloads | None = None,
) -> Recomputation:
    """Extract random done rows again and compare them with the store.

    Args:
        store: whose rows.
        backbone: the one that filled it.
        manifest: where the videos are.
        num_rows: how many; all, where the store has fewer.
        seed: chooses them.
        workers: decoding processes.
        timeout_seconds: for one video.
        downloads: what may be downloaded of videos at URLs; ``None``: nothing.

    Raises:
        StoreError: nothing is done, or not one of the rows could be extracted again.
    """
    rows, decoders = _choose(store, num_rows, seed)
    named = manifest.filter(pc.is_in(manifest["video_id"], value_set=rows["video_id"].combine_chunks()))
    files = video_files(named, downloads)
    unavailable = {row["row"]: reason for row in rows.to_pylist() if (reason := _unavailable(row, files)) is not None}
    rows = _without(rows, unavailable)
    jobs = make_video_jobs(numbered(rows, 0), files)

    with IsolatedPool(workers, timeout_seconds, preload=["fouls.pipeline.decoding"]) as isolated:

        def submit(video: VideoJob) -> Future[DecodedVideo]:
            return isolated.submit(decode, video, store.spec, decoders.get(video.file.video_id, "auto"))

        fill = _fill_streaming if store.spec.sampling.kind == "stream" else _fill_in_batches
        values: Values = {pool: np.zeros((rows.num_rows, *shape)) for pool, shape in store.pools.items()}
        failures = fill(values, jobs, backbone, store, submit)
    numbers = rows["row"].to_numpy()
    unavailable |= {int(numbers[position]): reason for position, reason in failures.items()}
    kept = np.array([position not in failures for position in range(len(numbers))], dtype=bool)
    if not kept.any():
        first = next(iter(unavailable.items()))
        raise StoreError(
            f"not one of {len(unavailable)} rows of {store.path} could be extracted again; row {first[0]}: {first[1]}"
        )
    tolerance = TOLERANCE[store.spec.precision]
    return Recomputation(
        rows=tuple(numbers[kept].tolist()),
        tolerance=tolerance,
        pools={
            pool: compare(_stored(store, pool, numbers[kept]), again[kept], numbers[kept], tolerance)
            for pool, again in values.items()
        },
        unavailable=dict(sorted(unavailable.items())),
    )


def _choose(store: Store, num_rows: int, seed: int) -> tuple[pa.Table, dict[str, str]]:
    """Some done rows of the index, ascending; and video_id → the decoder that decoded it then."""
    table, retired = read_rows(store.path)
    ledger = store.ledger()
    done = np.flatnonzero(row_status(table, retired, ledger) == DONE)
    if not len(done):
        raise StoreError(f"{store.path} has no done rows: there is nothing to extract again")
    chosen = np.sort(np.random.default_rng(seed).choice(done, size=min(num_rows, len(done)), replace=False))
    rows = table.take(chosen)
    by_row = _decoders(ledger, set(rows["row"].to_pylist()))
    videos = zip(rows["row"].to_pylist(), rows["video_id"].to_pylist(), strict=True)
    return rows, {video_id: by_row[row] for row, video_id in videos if row in by_row}


def _decoders(ledger: Sequence[BlockRecord], rows: set[int]) -> dict[int, str]:
    return {
        row: decoder
        for record in ledger
        for decoder, ranges in record.decoders.items()
        for row in from_ranges(ranges)
        if row in rows
    }


def _unavailable(row: Mapping[str, Any], files: Mapping[str, VideoFile]) -> str | None:
    """Why a row's video can't be decoded again as it was."""
    file = files.get(row["video_id"])
    if file is None:
        return "the manifest does not name its video any more"
    if file.content_hash != row["content_hash"]:
        return "its video has changed, or is gone, since it was extracted"
    return None


def _without(rows: pa.Table, left_out: Mapping[int, str]) -> pa.Table:
    return rows.filter(pa.array([row not in left_out for row in rows["row"].to_pylist()], pa.bool_()))


def _fill_in_batches(
    values: Values, jobs: Sequence[VideoJob], backbone: Backbone, store: Store, submit: Submit
) -> dict[int, str]:
    """Fill the features of all rows; the positions of those that could not be decoded, and why."""
    failures: dict[int, str] = {}
    rows = range(sum(len(job.clips) for job in jobs))
    for batch in batches(
        tuple(jobs), rows=rows, batch_size=BATCH_SIZE, spec=store.spec, submit=submit, cost=DecodingCost()
    ):
        features = backbone.features(backbone.normalise(torch.from_numpy(batch.pictures)), list(values))
        for pool, target in values.items():
            target[batch.rows.start : batch.rows.stop] = features[pool].cpu().numpy()
        failures |= {row: f"{error.code}: {error}" for row, (_, error) in batch.failures.items()}
    return failures


def _fill_streaming(
    values: Values, jobs: Sequence[VideoJob], backbone: Backbone, store: Store, submit: Submit
) -> dict[int, str]:
    """As :func:`_fill_in_batches`, for a stream net: each video is gone through from its beginning."""
    failures: dict[int, str] = {}
    for video in jobs:
        left = {clip.row for clip in video.clips}
        rows = stream_video(
            video,
            backbone=backbone,
            sampling=store.spec.sampling,
            pools=list(values),
            submit=submit,
            streams=Streams(),
            free=threading.Lock(),
            cost=DecodingCost(),
        )
        try:
            for row in rows:
                for pool, target in values.items():
                    target[row.row] = row.features[pool]
                left.discard(row.row)
        except VideoError as error:
            failures |= dict.fromkeys(left, f"{error.code}: {error}")
    return failures


def _stored(store: Store, pool: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
    array = store[pool]
    return np.stack([np.asarray(array[row]) for row in rows.tolist()])
