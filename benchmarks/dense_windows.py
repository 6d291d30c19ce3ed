"""What do dense windows cost beside one decode of the video?

Windows of 16 frames overlap by 75 %: each frame is in four of them. Real clips, and one that is long (the first of them
again and again), are extracted with a tiny backbone. Beside it the same frames are read once, from the first to the
last. Both are done by PyAV in one decoding process, open the files and read the index of their packets, and both are
measured there, in two ways: the CPU's seconds that opening and reading took, to which a backbone that computes beside
does not count, and the pictures that the decoder made. Prints medians, and the least and the greatest of the ratios.

    python benchmarks/dense_windows.py [--stride 1] [--repeats 5] [--frames 8000] [VIDEO …]

Ends with 1 when a median of the ratios of seconds is above 1.2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import av
import numpy as np
import numpy.typing as npt
import torch
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fouls.cache.store import open_store
from fouls.demo.backbone import write_backbone
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.executors.local import run_here
from fouls.pipeline.extract import make_groups, write_plan
from fouls.pipeline.options import ExecutorOptions, ExtractOptions, SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.pipeline.work import find_work
from fouls.video.decoders import DECODERS, open_video
from fouls.video.isolation import IsolatedPool
from fouls.video.pyav_reader import PyavReader
from fouls.video.types import Frame

P = ParamSpec("P")
T = TypeVar("T")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "videos"
VIDEOS = [SHARED / name for name in ("nasa.mp4", "carving_ice.mp4", "GGSY.mp4", "pancake.mkv", "av1.mkv")]
MOST = 1.2
CLIP_FRAMES, OVERLAPPING = 16, 4
"""A window of 16 frames begins every quarter of a window."""
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class World:
    """Videos, and the folder of their manifest and stores."""

    name: str
    videos: tuple[Path, ...]
    folder: Path

    def __post_init__(self) -> None:
        listing = list_videos("videos", BuildOptions(sources=self.videos))
        build_manifest(listing, self.folder / "manifests" / "videos.parquet")


def repeat_video(source: Path, target: Path, num_frames: int) -> Path:
    """Copy the packets of a video's best stream one after another, as often as it takes."""
    with av.open(target, "w") as out, av.open(source) as first:
        copied = out.add_stream_from_template(first.streams.best("video"))
        written, offset = 0, 0
        while written < num_frames:
            with av.open(source) as again:
                packets = [packet for packet in again.demux(again.streams.best("video")) if packet.size]
                begin, end = min(p.dts for p in packets), max(p.dts + p.duration for p in packets)
                for packet in packets:
                    packet.pts, packet.dts = packet.pts - begin + offset, packet.dts - begin + offset
                    packet.stream = copied
                    out.mux(packet)
            written, offset = written + len(packets), offset + end - begin
    return target


@dataclass(kw_only=True)
class Cost:
    """What reading has cost."""

    seconds: float = 0.0
    """Of CPU, of all threads of the decoding process."""
    pictures: int = 0
    """That the decoder made."""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count what happens inside."""
        started = time.process_time()
        yield
        self.seconds += time.process_time() - started

    def add(self, other: Self) -> None:
        """Add another's."""
        self.seconds += other.seconds
        self.pictures += other.pictures


class MeasuredReader(PyavReader):
    """Notes what opening and reading cost, and not what becomes of the frames."""

    cost = Cost()

    def __init__(self, path: str, short_side: int | None = None) -> None:
        with self.cost.measured():
            super().__init__(path, short_side)

    def read(self, indices: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """See :meth:`fouls.video.types.VideoReader.read`."""
        frames = super().read(indices)
        while True:
            with self.cost.measured():
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _decode(self, packets: Iterator[Packet[VideoStream]], first: int) -> Iterator[VideoFrame]:
        for picture in super()._decode(packets, first):
            self.cost.pictures += 1
            yield picture


def measure_call(function: Callable[..., T], *args: Any) -> tuple[T, Cost]:
    """Call a function and say what the reading in it cost; in the decoding process."""
    DECODERS["pyav"] = MeasuredReader
    MeasuredReader.cost = cost = Cost()
    return function(*args), cost


class MeasuringPool(IsolatedPool):
    """One decoding process, and what all of its calls have cost."""

    def __init__(self) -> None:
        super().__init__(1, TIMEOUT_SECONDS, preload=["fouls.pipeline.decoding"])
        self.cost = Cost()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See :class:`~fouls.video.isolation.IsolatedPool`."""
        future: Future[T] = Future()
        measured: Future[tuple[T, Cost]] = super().submit(measure_call, partial(function, **kwargs), *args)
        measured.add_done_callback(partial(self._pass_on, future))
        return future

    def _pass_on(self, future: Future[T], measured: Future[tuple[T, Cost]]) -> None:
        try:
            result, cost = measured.result()
        except BaseException as error:
            future.set_exception(error)
        else:
            self.cost.add(cost)  # by the thread of the one process
            future.set_result(result)


def read_once(paths: list[str], stride: int) -> None:
    """Read every frame, or every ``stride``-th, from the first to the last; in the decoding process."""
    torch.set_num_threads(1)
    for path in paths:
        with open_video(path, "pyav") as reader:
            for _ in reader.read(np.arange(0, reader.info.num_frames, stride)):
                pass


def cost_of_one_decode(world: World, stride: int) -> Cost:
    """What it costs to read the videos once."""
    with MeasuringPool() as pool:
        pool.submit(read_once, [str(path) for path in world.videos], stride).result()
    return pool.cost


def cost_of_windows(world: World, weights: Path, stride: int, number: int) -> tuple[Cost, int]:
    """What reading costs for all windows, and how many there are."""
    options = ExtractOptions(
        backbone="videomae",
        weights=str(weights),
        sampling=SamplingOptions(kind="dense", frame_stride=stride, hop=CLIP_FRAMES * stride // OVERLAPPING),
        manifest=world.folder / "manifests",
        out=world.folder / f"store{number}",
        executor=ExecutorOptions(device="cpu"),
        decoder="pyav",
        decode_workers=1,
    )
    prepared = prepare(options)
    write_plan(prepared)
    store = open_store(options.store)
    work = find_work(store, prepared.manifest, retry=None)
    member = Member(store=store, backbone=prepared.backbone, batch_size=prepared.batch_size(store.block_rows))
    pool = MeasuringPool()
    with Engine([member], prepared.engine_options, pool) as engine:
        for _ in run_here(engine, make_groups([prepared], [work])):
            pass
    if set(store.rows()["status"].to_pylist()) != {"done"}:
        raise SystemExit(f"{world.name}: not every row is done")
    return pool.cost, work.num_rows


def measure(world: World, weights: Path, options: argparse.Namespace) -> bool:
    """Measure both in turn and print; whether the median is small enough."""
    once, windows, rows = [], [], 0
    for number in range(options.repeats):
        once.append(cost_of_one_decode(world, options.stride))
        cost, rows = cost_of_windows(world, weights, options.stride, number)
        windows.append(cost)
    ratios = [ours.seconds / theirs.seconds for ours, theirs in zip(windows, once, strict=True)]
    seconds = [statistics.median(cost.seconds for cost in costs) for costs in (once, windows)]
    pictures = [statistics.median(cost.pictures for cost in costs) for costs in (once, windows)]
    print(
        f"{world.name:10s} {rows:5d} windows  CPU seconds: once {seconds[0]:.2f}, windows {seconds[1]:.2f}, "
        f"× {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})  "
        f"pictures: once {pictures[0]:.0f}, windows {pictures[1]:.0f}, × {pictures[1] / pictures[0]:.3f}",
        flush=True,
    )
    return statistics.median(ratios) <= MOST


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, default=VIDEOS, metavar="VIDEO")
    parser.add_argument("--stride", type=int, default=1, help="frames from one of a window to the next")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=8000, help="of the long video")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "weights"
        write_backbone(weights)
        (folder / "clips").mkdir()
        (folder / "long").mkdir()
        first = options.videos[0]
        long = repeat_video(first, folder / "long" / f"long{first.suffix}", options.frames)
        worlds = [
            World(name="real clips", videos=tuple(options.videos), folder=folder / "clips"),
            World(name="one long", videos=(long,), folder=folder / "long"),
        ]
        fits = [measure(world, weights, options) for world in worlds]
    if not all(fits):
        print(f"dense windows cost more than {MOST} × one decode", file=sys.stderr)
    raise SystemExit(not all(fits))


if __name__ == "__main__":
    main()
