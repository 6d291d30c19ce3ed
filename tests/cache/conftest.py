"""A small store, made with the store's own code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord, RowFailure, to_ranges
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import PreprocessingSpec, SamplingSpec, Spec, WeightsSpec
from fouls.cache.store import Store, open_store

SHAPES = {"mean": (6,), "temporal": (2, 6)}


def make_spec(**changes: Any) -> Spec:
    fields: dict[str, Any] = {
        "backbone": "videomae_base",
        "weights": WeightsSpec(sha256="ab" * 32, random_seed=0),
        "sampling": SamplingSpec(num_frames=16),
        "preprocessing": PreprocessingSpec(
            resize_to=224, crop=224, antialias=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        "pools": ("mean", "temporal"),
    }
    return Spec(**(fields | changes))


def index(first_row: int, videos: list[str], content_hash: str = "h1") -> pa.Table:
    """One row a video."""
    columns: dict[str, list[Any]] = {
        "row": list(range(first_row, first_row + len(videos))),
        "video_id": videos,
        "sample_id": videos,
        "frame_indices": [[0, 1, 2]] * len(videos),
        "content_hash": [content_hash] * len(videos),
    }
    constants = {"view": 0, "clip": 0, "crop": 0, "augment": 0, "start_frame": 0, "stop_frame": 3}
    columns |= {name: [value] * len(videos) for name, value in constants.items()}
    return pa.table({name: columns.get(name, [None] * len(videos)) for name in ROW_SCHEMA.names}, schema=ROW_SCHEMA)


def fill(store: Store, block: int, done: list[int], failed: list[int] | None = None) -> BlockRecord:
    """Commit a block; row r holds the value r everywhere."""
    features = empty_features(store, block)
    for values in features.values():
        for row in done:
            values[row - block * store.block_rows] = row
    failures = tuple(
        RowFailure(row=row, video_id=f"v{row}", code="decode_error", message="broken") for row in failed or []
    )
    record = BlockRecord(
        block=block,
        done=to_ranges(done),
        failures=failures,
        decoders={"decord": to_ranges(done)},
        seconds={"forward": 1.0, "wait": 0.5},
        started_at="2026-01-01T00:00:00.000+00:00",
    )
    return BlockWriter(store).commit(features, record)


Templates = dict[Any, Path]
"""What a store is made from → one that was made so, to be copied: making one waits for the disk a dozen times."""


@pytest.fixture(scope="session")
def templates() -> Iterator[Templates]:
    made: Templates = {}
    yield made
    for path in made.values():
        shutil.rmtree(path)


def copy_of(templates: Templates, key: Any, make: Callable[[Path], object], target: Path) -> Store:
    """A store like the one that ``make`` makes."""
    if key not in templates:
        templates[key] = Path(tempfile.mkdtemp())
        make(templates[key] / "store")
    shutil.copytree(templates[key] / "store", target)
    return open_store(target)


@pytest.fixture
def make_store(tmp_path: Path, templates: Templates) -> Callable[..., Store]:
    def make(num_videos: int = 10, block_rows: int = 4, spec: Spec | None = None) -> Store:
        wanted = spec or make_spec()

        def make_anew(path: Path) -> None:
            create_group(path, spec=wanted, shapes=SHAPES, block_rows=block_rows, made_by={"weights": None})
            append_rows(path, index(0, [f"v{number}" for number in range(num_videos)]))
            resize_arrays(path, num_videos)

        key = (num_videos, block_rows, wanted.fingerprint)
        return copy_of(templates, key, make_anew, tmp_path / "cache" / "videomae")

    return make


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


@pytest.fixture
def filled(tmp_path: Path, templates: Templates, make_store: Callable[..., Store]) -> Store:
    """Blocks 0 and 2 done, block 1 with a failure: rows 0 … 3, 4, 5, 7 and 8, 9."""

    def make_anew(path: Path) -> None:
        shutil.copytree(make_store().path, path)
        made = open_store(path)
        fill(made, 0, done=[0, 1, 2, 3])
        fill(made, 1, done=[4, 5, 7], failed=[6])
        fill(made, 2, done=[8, 9])

    return copy_of(templates, "filled", make_anew, tmp_path / "filled")


def tree(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
