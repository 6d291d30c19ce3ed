"""A user's folder: small videos, their manifest, and a tiny VideoMAE in the hub's format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fouls.cache.store import Store, open_store
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.pipeline.extract import ExtractReport, extract
from fouls.pipeline.options import ExecutorOptions, ExtractOptions
from fouls.pipeline.prepare import prepare
from tests.media import frame_numbered_video

from .backbones.checkpoints import tiny_checkpoint

NUM_VIDEOS = 10


@dataclass(frozen=True)
class Project:
    """Where a user works."""

    path: Path
    weights: Path

    @property
    def videos(self) -> Path:
        return self.path / "videos"

    def add_video(self, name: str, num_frames: int = 20) -> Path:
        return frame_numbered_video(self.videos / f"{name}.mp4", num_frames)

    def build(self) -> None:
        """Probe the videos into ``manifests/videos.parquet``."""
        listing = list_videos("videos", BuildOptions(sources=(self.videos,)))
        build_manifest(listing, self.path / "manifests" / "videos.parquet")

    def options(self, store: str = "videomae", **changes: Any) -> ExtractOptions:
        defaults: dict[str, Any] = {
            "backbone": "videomae",
            "weights": str(self.weights),
            "manifest": self.path / "manifests",
            "out": self.path / "cache" / store,
            "executor": ExecutorOptions(device="cpu"),
            "block_rows": 4,
            "batch_size": 2,
        }
        return ExtractOptions(**(defaults | changes))

    def extract(self, store: str = "videomae", **changes: Any) -> ExtractReport:
        return extract(prepare(self.options(store, **changes)))

    def store(self, name: str = "videomae") -> Store:
        return open_store(self.path / "cache" / name)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="session")
def many_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoded once; each project has links to them."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        frame_numbered_video(folder / f"v{number}.mp4", 12 + 5 * number)
    return folder


@pytest.fixture
def project(tmp_path: Path, tiny_weights: Path, many_videos: Path) -> Project:
    """Ten sound videos, and their manifest."""
    made = Project(path=tmp_path, weights=tiny_weights)
    made.videos.mkdir()
    for video in sorted(many_videos.iterdir()):
        (made.videos / video.name).hardlink_to(video)
    made.build()
    return made


def status_of(store: Store) -> dict[str, list[str]]:
    """video_id → the status of its rows that are not retired."""
    rows: pa.Table = store.rows()
    found: dict[str, list[str]] = {}
    for video_id, status in zip(rows["video_id"].to_pylist(), rows["status"].to_pylist(), strict=True):
        if status != "retired":
            found.setdefault(video_id, []).append(status)
    return found
