"""Where the killing happens: videos of ten formats, their manifest, a tiny backbone, and the store of a quiet run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.damage.corpus import MADE_SOURCES
from benchmarks.damage.encoding import encode, pictures
from fouls.cache.store import Store, open_store
from fouls.demo.backbone import write_backbone
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions

BLOCK_ROWS = 2
STORE = "cache/videomae"
UNDISTURBED = "cache/undisturbed"


@dataclass(frozen=True, kw_only=True)
class World:
    """A user's folder."""

    path: Path
    videos: tuple[Path, ...]
    """Sound ones; two files beside them are none."""

    @property
    def ledger(self) -> Path:
        """Of the store that is to be filled."""
        return self.path / STORE / "ledger"

    def store(self, name: str = STORE) -> Store:
        """A store of this folder."""
        return open_store(self.path / name)

    def records(self) -> dict[str, bytes]:
        """The ledger as it stands, block by block."""
        return {file.name: file.read_bytes() for file in self.ledger.glob("0*.json")}

    def start(self, options: list[str], log: Path, *, out: str = STORE) -> subprocess.Popen[bytes]:
        """An extraction, in a group of processes of its own; what it says goes into a file."""
        command = [sys.executable, "-m", "fouls", "extract", "--backbone", "videomae", "--weights", "weights"]
        command += ["--out", out, "--block-rows", str(BLOCK_ROWS), "--batch-size", str(BLOCK_ROWS), *options]
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.path,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def forget_reads(self) -> None:
        """From now on, :meth:`videos_read` begins anew: a file system with ``relatime`` notes the first read after."""
        for video in self.videos:
            os.utime(video, ns=(0, video.stat().st_mtime_ns))

    def videos_read(self) -> set[str]:
        """Ids of the videos that somebody has read since."""
        return {video.stem for video in self.videos if video.stat().st_atime_ns}


def make_world(path: Path, num_videos: int) -> World:
    """Make everything but the stores."""
    folder = path / "videos"
    folder.mkdir(parents=True)
    videos = []
    formats = list(MADE_SOURCES.items())
    for number in range(num_videos):
        name, how = formats[number % len(formats)]
        video = folder / f"{number:03d}-{name}"
        encode(video, pictures(24 + number, 128, 96), **how)  # type: ignore[arg-type]
        videos.append(video)
    (folder / "text.mp4").write_text("no video\n")
    (folder / "empty.mp4").touch()
    build_manifest(list_videos("videos", BuildOptions(sources=(folder,))), path / "manifests" / "videos.parquet")
    write_backbone(path / "weights")
    return World(path=path, videos=tuple(videos))
