"""The demo's data set: encoded videos, two views a sample, three splits, one broken file, and a CSV that lists them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from fouls.demo.scenes import CAMERAS, FPS, HUES, MOTIONS, SIZE, Scene

SPLITS = ("train", "train", "train", "valid", "test")
"""Of five neighbouring samples of one pair of classes."""
COLUMNS = ("path", "sample_id", "view", "view_kind", "split", "label.colour", "label.motion")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled scene, filmed by every camera."""

    name: str
    split: str
    scene: Scene


def draw_samples(num_samples: int, seed: int) -> Iterator[Sample]:
    """Samples that go through all pairs of classes in turn, each pair through the splits."""
    rng = np.random.default_rng(seed)
    pairs = [(colour, motion) for colour in HUES for motion in MOTIONS]
    for number in range(num_samples):
        colour, motion = pairs[number % len(pairs)]
        split = SPLITS[number // len(pairs) % len(SPLITS)]
        yield Sample(name=f"{number:04d}", split=split, scene=Scene.draw(colour, motion, rng))


def make_dataset(folder: Path, *, num_samples: int, seed: int, on_video: Callable[[int], None]) -> Path:
    """Encode the videos, cut one of the training videos short, and list all of them.

    Returns:
        The CSV, ready for ``fouls manifest build --format csv``.
    """
    samples = list(draw_samples(num_samples, seed))
    with ThreadPoolExecutor() as threads:
        for rows in threads.map(lambda sample: list(_film(folder, sample)), samples):
            on_video(len(rows))
    listing = folder / "videos.csv"
    with listing.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for sample in samples:
            writer.writerows(_rows(sample))
    _break(folder / _path(samples[0], "wide"))
    return listing


def _film(folder: Path, sample: Sample) -> Iterator[Path]:
    for camera, zoom in CAMERAS.items():
        path = folder / _path(sample, camera)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, sample.scene.frames(zoom))
        yield path


def _path(sample: Sample, camera: str) -> str:
    return f"{sample.split}/{sample.name}-{camera}.mp4"


def _rows(sample: Sample) -> Iterator[tuple[str | int, ...]]:
    for view, camera in enumerate(CAMERAS):
        path = _path(sample, camera)
        yield path, sample.name, view, camera, sample.split, sample.scene.colour, sample.scene.motion


def write_video(path: Path, frames: Iterable[npt.NDArray[np.uint8]]) -> None:
    """Encode frames as H.264, one thread, so that the same frames give the same file."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20", "threads": "1"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _break(path: Path) -> None:
    """Overwrite the pictures of a video, and leave its header: it opens, and can't be decoded."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
