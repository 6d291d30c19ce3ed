"""The steps that ``scale.py`` measures, each in a process of its own: what is done beside decoding and forward passes.

The manifest has two views a sample and made-up probe columns: the files do not exist, and no step opens one. The store
is what a run with one row a video would leave, ledger and chunks, but for one block in a hundred, whose work is left
to do; one row in a thousand has failed.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import zarr

from fouls.cache.blocks import block_span, checksum
from fouls.cache.ledger import BlockRecord, RowFailure, record_path, to_ranges
from fouls.cache.store import open_store
from fouls.demo.backbone import write_backbone
from fouls.heads.data import DataOptions, load_samples
from fouls.heads.tasks import tasks_to_train
from fouls.manifests.schema import manifest_schema
from fouls.manifests.table import read_manifest, write_manifest
from fouls.pipeline.extract import extract
from fouls.pipeline.options import ExecutorOptions, ExtractOptions
from fouls.pipeline.prepare import Prepared, prepare

CLASSES = {"action": ["none", "tackling", "holding", "pushing"], "severity": ["none", "yellow", "red"]}
BLOCKS_LEFT = 100
"""One block in so many is not done."""
ROWS_FAILED = 1000
"""One row in so many has failed."""
POOL = "mean"


class PlannedError(Exception):
    """Ends an extraction when everything is planned, before the first block."""


def manifest_of(folder: Path) -> Path:
    """Where the manifest lies."""
    return folder / "manifests" / "videos.parquet"


def make_manifest(folder: Path, num_videos: int) -> None:
    """Write the manifest and the backbone, with which nothing is computed."""
    write_backbone(folder / "weights")
    rng = np.random.default_rng(0)
    numbers = np.arange(num_videos)
    samples = numbers // 2
    num_frames = rng.integers(40, 400, num_videos)
    columns = {
        "video_id": [f"train/clip_{sample:08d}/view_{view}" for sample, view in zip(samples, numbers % 2, strict=True)],
        "sample_id": [f"clip_{sample:08d}" for sample in samples],
        "view": numbers % 2,
        "view_kind": [None] * num_videos,
        "replay_speed": np.where(numbers % 2, 0.5, 1.0),
        "path": [f"clip_{sample:08d}/view_{view}.mp4" for sample, view in zip(samples, numbers % 2, strict=True)],
        "split": np.where(samples % 10 == 0, "valid", "train"),
        "start_frame": [None] * num_videos,
        "stop_frame": [None] * num_videos,
        "num_frames": num_frames,
        "width": np.full(num_videos, 398),
        "height": np.full(num_videos, 224),
        "fps": np.full(num_videos, 25.0),
        "duration_seconds": num_frames / 25.0,
        "codec": ["h264"] * num_videos,
        "size_bytes": 4000 * num_frames,
        "modified_ns": 1_700_000_000_000_000_000 + numbers,
        "content_hash": [hashlib.sha256(b"%d" % number).hexdigest() for number in numbers],
        "probe_error": [None] * num_videos,
        "label.action": samples % 4,
        "label.severity": samples % 3,
    }
    schema = manifest_schema(CLASSES, root=str(folder.resolve() / "videos"))
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema]
    write_manifest(pa.Table.from_arrays(arrays, schema=schema), manifest_of(folder))


def read(folder: Path) -> float:
    """Read and check the manifest."""
    started = time.perf_counter()
    read_manifest(manifest_of(folder))
    return time.perf_counter() - started


def plan(folder: Path) -> float:
    """Everything that ``fouls extract`` does before the first block, from the manifest on: nothing is planned yet."""
    return _extract_until_work(folder)


def resume(folder: Path) -> float:
    """The same once more, after the run: nothing to plan, one block in a hundred to do."""
    return _extract_until_work(folder)


def join(folder: Path) -> float:
    """What ``fouls train-head`` does before it trains: rows, labels and features as samples in memory."""
    started = time.perf_counter()
    manifest = read_manifest(manifest_of(folder))
    tasks = tasks_to_train(manifest)
    options = DataOptions(pools=(POOL,), tasks=tasks)
    load_samples([open_store(folder / "store")], manifest, options, splits=("train", "valid"))
    return time.perf_counter() - started


def _extract_until_work(folder: Path) -> float:
    prepared = _prepared(folder)
    started = time.perf_counter()

    def stop(num_rows: int) -> None:
        raise PlannedError

    try:
        extract(prepared, on_start=stop)
    except PlannedError:
        return time.perf_counter() - started
    raise AssertionError("there was nothing to do")


def _prepared(folder: Path) -> Prepared:
    return prepare(
        ExtractOptions(
            backbone="videomae",
            weights=str(folder / "weights"),
            manifest=manifest_of(folder),
            out=folder / "store",
            executor=ExecutorOptions(device="cpu"),
        )
    )


def fill(folder: Path) -> float:
    """Leave what a run leaves: made-up features, and the records of their blocks."""
    store = open_store(folder / "store")
    array = store[POOL]
    writable = zarr.open_group(store.path, mode="r+", zarr_format=3)[POOL]
    video_ids = store.rows()["video_id"].to_pylist()
    rng = np.random.default_rng(1)
    for block in range(-(-array.shape[0] // store.block_rows)):
        if block % BLOCKS_LEFT == BLOCKS_LEFT // 2:
            continue
        start, stop = block_span(store, block)
        values = rng.standard_normal((stop - start, *store.pools[POOL])).astype(array.dtype)
        failed = [row for row in range(start, stop) if row % ROWS_FAILED == ROWS_FAILED - 1]
        done = [row for row in range(start, stop) if row not in failed]
        values[np.array(failed, dtype=int) - start] = np.nan
        writable[start:stop] = values
        seconds = {"read": 1.5, "preprocess": 0.75, "wait": 0.1, "forward": 8.25, "write": 0.05}
        record = BlockRecord(
            block=block,
            done=to_ranges(done),
            failures=tuple(
                RowFailure(row=row, video_id=video_ids[row], code="decode_error", message="12 of 16 frames came")
                for row in failed
            ),
            decoders={"decord": to_ranges(done)},
            seconds=seconds,
            checksums={POOL: checksum(values[np.array(done) - start])},
            batch_size=4,
            device="cpu",
            started_at=f"2025-01-01T{block // 3600 % 24:02d}:{block // 60 % 60:02d}:{block % 60:02d}.000+00:00",
            finished_at=f"2025-01-01T{block // 3600 % 24:02d}:{block // 60 % 60:02d}:{block % 60:02d}.900+00:00",
        )
        record_path(store.path, block).write_bytes(record.to_json())
    return 0.0


STEPS: dict[str, Callable[[Path], float]] = {"read": read, "plan": plan, "fill": fill, "resume": resume, "join": join}


def main() -> None:
    """Do one step, and print what it took as JSON."""
    step, folder = sys.argv[1], Path(sys.argv[2])
    if step == "make":
        make_manifest(folder, int(sys.argv[3]))
        seconds = 0.0
    else:
        seconds = STEPS[step](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
