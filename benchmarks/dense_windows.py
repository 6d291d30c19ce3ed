"""What do dense windows cost beside one decode of the video?

Windows of 16 frames overlap by 75 %: each frame is in four of them. Real clips, and one that is long (the first of them
again and again), are extracted with a tiny backbone; what the decoding processes spent on reading stands in the ledger.
Beside it, in a process of the same kind, the same frames are read once from the first to the last by the same decoder.
Both open the files and read the index of their packets. Prints the median of the ratios, and the least and the
greatest.

    python benchmarks/dense_windows.py [--decoder auto] [--stride 1] [--repeats 5] [--frames 8000] [VIDEO …]

Ends with 1 when a median is above 1.2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch

from fouls.cache.store import open_store
from fouls.demo.backbone import write_backbone
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.pipeline.extract import extract
from fouls.pipeline.options import ExecutorOptions, ExtractOptions, SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.video.decoders import open_video
from fouls.video.isolation import IsolatedPool

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


def sequential_seconds(paths: list[str], decoder: str, stride: int) -> float:
    """Read every frame, or every ``stride``-th, once; runs in a process of its own."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    for path in paths:
        with open_video(path, decoder) as reader:
            for _ in reader.read(np.arange(0, reader.info.num_frames, stride)):
                pass
    return time.perf_counter() - started


def windows_seconds(world: World, weights: Path, decoder: str, stride: int, number: int) -> tuple[float, float, int]:
    """Seconds of reading and of preprocessing all windows, and how many there are."""
    options = ExtractOptions(
        backbone="videomae",
        weights=str(weights),
        sampling=SamplingOptions(kind="dense", frame_stride=stride, hop=CLIP_FRAMES * stride // OVERLAPPING),
        manifest=world.folder / "manifests",
        out=world.folder / f"store{number}",
        executor=ExecutorOptions(device="cpu"),
        decoder=decoder,
        decode_workers=1,
        decode_timeout_seconds=TIMEOUT_SECONDS,
    )
    report = extract(prepare(options))
    if report.summary.failed or report.summary.todo:
        raise SystemExit(f"{world.name}: {report.summary.failed} rows failed, {report.summary.todo} are to do")
    records = list(open_store(world.folder / f"store{number}").ledger())
    read, preprocess = (sum(record.seconds[stage] for record in records) for stage in ("read", "preprocess"))
    return read, preprocess, report.summary.rows


def measure(world: World, weights: Path, options: argparse.Namespace) -> bool:
    """Measure both in turn and print; whether the median is small enough."""
    paths = [str(path) for path in world.videos]
    once, read, preprocess, rows = [], [], [], 0
    for number in range(options.repeats):
        with IsolatedPool(1, TIMEOUT_SECONDS, preload=["fouls.pipeline.decoding"]) as pool:
            once.append(pool.submit(sequential_seconds, paths, options.decoder, options.stride).result())
        seconds, cutting, rows = windows_seconds(world, weights, options.decoder, options.stride, number)
        read.append(seconds)
        preprocess.append(cutting)
    ratios = [windows / whole for windows, whole in zip(read, once, strict=True)]
    print(
        f"{world.name:12s} {rows:6d} windows  once {statistics.median(once):7.2f} s  windows "
        f"{statistics.median(read):7.2f} s  × {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})"
        f"  preprocessing {statistics.median(preprocess):.2f} s",
        flush=True,
    )
    return statistics.median(ratios) <= MOST


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, default=VIDEOS, metavar="VIDEO")
    parser.add_argument("--decoder", default="auto")
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
