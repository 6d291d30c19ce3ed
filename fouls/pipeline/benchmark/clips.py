"""Videos to measure on, where nobody has any at hand: made here, and their manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np

from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions

HEIGHT, WIDTH, NUM_FRAMES, FPS = 224, 398, 126, 25
"""As SoccerNet's MVFoul has its clips."""
_GRAIN = 4
"""Pixels of the picture's smallest features."""


def make_clips(folder: Path, num_videos: int) -> Path:
    """Write one video, copies of it, and their manifest.

    Returns:
        The manifest.
    """
    videos = folder / "videos"
    videos.mkdir(parents=True)
    first = videos / f"{0:06d}.mp4"
    write_video(first)
    for number in range(1, num_videos):
        shutil.copyfile(first, videos / f"{number:06d}.mp4")
    manifest = folder / "manifests" / "videos.parquet"
    build_manifest(list_videos("videos", BuildOptions(sources=(videos,))), manifest)
    return manifest


def write_video(path: Path, num_frames: int = NUM_FRAMES) -> None:
    """Write a camera's slow swing over a random landscape: H.264, a key frame every second."""
    rng = np.random.default_rng(0)
    shape = (HEIGHT // _GRAIN, (WIDTH + num_frames) // _GRAIN + 1, 3)
    landscape = rng.integers(0, 256, shape, dtype=np.uint8).repeat(_GRAIN, axis=0).repeat(_GRAIN, axis=1)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        for left in range(num_frames):
            view = np.ascontiguousarray(landscape[:, left : left + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode(None))
