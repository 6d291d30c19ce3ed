"""Videos to measure on, where nobody has any at hand: made here, and their manifest."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pyarrow as pa

from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.table import read_manifest, write_manifest

HEIGHT, WIDTH, NUM_FRAMES, FPS = 224, 398, 126, 25
"""As SoccerNet's MVFoul has its clips."""
_GRAIN = 4
"""Pixels of the picture's smallest features."""


def make_clips(folder: Path, num_videos: int) -> Path:
    """Write one video, and a manifest that names it again and again.

    Returns:
        The manifest.
    """
    videos = folder / "videos"
    videos.mkdir(parents=True)
    write_video(videos / "swing.mp4")
    manifest = folder / "manifests" / "videos.parquet"
    build_manifest(list_videos("videos", BuildOptions(sources=(videos,))), manifest)
    table = read_manifest(manifest).take(pa.array([0] * num_videos))
    names = pa.array([f"swing-{number:06d}" for number in range(num_videos)])
    for column in ("video_id", "sample_id"):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(place), names)
    write_manifest(table, manifest)
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
