"""How near does the whole of an extraction come to the limit that its stages set?

Measures, in rounds so that a machine that changes its pace is the same for all: decoding and preprocessing alone,
forward passes alone (half of them before the extraction, half after it), the extraction, writing alone. On a CPU
decoding and the backbone share the cores: limit = forward + core-seconds of decoding / cores, for a clip. On a GPU the
slowest stage is the limit. Weights are made up; the clips are copies of the given videos, as many as are wanted, in
blocks of two batches. Prints each round, the medians and the spread; ends with 1 when limit / whole falls short: of
0.95 on a CPU, of 0.90 on a GPU.

    python benchmarks/overlap.py VIDEO... [--backbone videomae] [--device cpu] [--clips 40] [--repeats 5]

A folder stands for all videos in it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from fouls.cache.summary import summarise
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.media_files import media_files
from fouls.pipeline.benchmark.limit import least_seconds
from fouls.pipeline.benchmark.stages import time_decoding, time_forward, time_writing
from fouls.pipeline.benchmark.whole import time_extract
from fouls.pipeline.devices import place, usable_cores
from fouls.pipeline.extract import plan
from fouls.pipeline.options import ExecutorOptions, ExtractOptions
from fouls.pipeline.prepare import Prepared, prepare
from fouls.pipeline.work import make_work

LEAST_SHARE = {"cpu": 0.95, "cuda": 0.90}
CLIPS = {"cpu": 40, "cuda": 4096}
"""A minute's, or so."""
BLOCK_BATCHES = 2
FORWARD_SHARE = 4
"""One in so many batches is pushed through the backbone before the extraction, and as many after it."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """Seconds a clip."""

    forward: float
    decoding: float
    """By all decoding processes of a GPU, with all cores of a CPU."""
    writing: float
    whole: float
    limit: float
    busy: float
    """Share of the extraction's time in which the device had a batch."""

    @property
    def share(self) -> float:
        """Limit / whole."""
        return self.limit / self.whole


def prepare_copies(videos: list[Path], folder: Path, options: argparse.Namespace, num_clips: int) -> Prepared:
    """An extraction of copies of some videos, a clip each."""
    copies = folder / "videos"
    copies.mkdir()
    for number, video in enumerate(islice(cycle(videos), num_clips)):
        shutil.copyfile(video, copies / f"{number:06d}{video.suffix}")
    build_manifest(list_videos("videos", BuildOptions(sources=(copies,))), folder / "videos.parquet")
    prepared = prepare(
        ExtractOptions(
            backbone=options.backbone,
            weights="random:0",
            manifest=folder / "videos.parquet",
            out=folder / "store",
            executor=ExecutorOptions(device=options.device),
            batch_size=options.batch_size,
            decode_workers=options.decode_workers,
        )
    )
    block_rows = BLOCK_BATCHES * prepared.batch_size(num_clips)
    return replace(prepared, options=replace(prepared.options, block_rows=block_rows))


def measure(prepared: Prepared, folder: Path) -> Round:
    """Every stage, and the whole, once."""
    backbone, spec, engine = prepared.backbone, prepared.spec, prepared.engine_options
    on_gpu = prepared.placement.device.startswith("cuda")
    new, block_rows = plan(prepared)
    videos = [video for job in make_work(new, block_rows, prepared.manifest, {}).jobs() for video in job.videos]
    batch_size = prepared.batch_size(block_rows)

    def forward() -> float:
        num_batches = max(1, new.num_rows // batch_size // FORWARD_SHARE)
        timed = time_forward(backbone, spec, batch_size=batch_size, repeats=1, num_batches=num_batches, warm_up=False)
        return timed.seconds_a_clip

    decoded = time_decoding(videos, spec, engine, repeats=1)
    if decoded is None:
        raise SystemExit("not one of the videos can be decoded")
    decoding = decoded.together.seconds_a_clip if on_gpu else decoded.cost("cores") / usable_cores()
    before = forward()
    whole, store = time_extract(prepared, folder, repeats=1)
    alone = (before + forward()) / 2
    writing = time_writing(store, repeats=1).seconds_a_clip
    return Round(
        forward=alone,
        decoding=decoding,
        writing=writing,
        whole=whole.seconds_a_clip,
        limit=least_seconds(forward=alone, decoding=decoding, writing=writing, on_gpu=on_gpu),
        busy=summarise(store).seconds["forward"] / whole.num_clips / whole.seconds_a_clip,
    )


def in_words(found: Round) -> str:
    """The columns of a round."""
    stages = (found.forward, found.decoding, found.writing, found.limit, found.whole)
    return " ".join(f"{1000 * seconds:9.2f}" for seconds in stages) + f" {found.busy:7.1%} {found.share:12.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--backbone", default="videomae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, help="copies in all")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--decode-workers", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    kind = "cuda" if place(ExecutorOptions(device=options.device)).device.startswith("cuda") else "cpu"
    videos = [file for path in options.videos for file in (media_files(path) if path.is_dir() else [path])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare_copies(videos, folder, options, options.clips or CLIPS[kind])
        print(
            f"{prepared.backbone.name}: {prepared.manifest_videos} clips, {usable_cores()} cores, "
            f"{prepared.engine_options.decode_workers} decoding processes\nmilliseconds a clip\n"
            "           forward  decoding   writing     limit     whole  device busy  limit / whole"
        )
        size = prepared.batch_size(prepared.manifest_videos)
        time_forward(prepared.backbone, prepared.spec, batch_size=size, repeats=1)  # whatever only the first needs
        rounds = []
        for number in range(options.repeats):
            rounds.append(measure(prepared, folder / f"{number}"))
            shutil.rmtree(folder / f"{number}")
            print(f"round {number + 1:2d} {in_words(rounds[-1])}", flush=True)
    shares = [each.share for each in rounds]
    share = statistics.median(shares)
    print(f"median of limit / whole: {share:.3f} ({min(shares):.3f} … {max(shares):.3f})")
    raise SystemExit(share < LEAST_SHARE[kind])


if __name__ == "__main__":
    main()
