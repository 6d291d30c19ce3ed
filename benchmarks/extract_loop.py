"""Is ``fouls extract`` faster than the loop that people write, and does it find the same features?

The loop takes one video after the other: decord, the image processor of transformers, ``VideoMAEModel``, the mean
over tokens. Once in fp32, a video at a time; once in bf16, some videos at once. ``fouls extract`` does the same frames
of the same videos with the same made-up weights, with its defaults. All of them in turn, several times, on all cores;
loading the net and starting processes count for none of them. Prints medians and spreads; ends with 1 when extract is
not as many times faster as it should be, or its features are too far from those of the fp32 loop. The last line says
what the CPU itself allows: how many times faster its matrix products are than the fp32 loop.

    python benchmarks/extract_loop.py [--source ../shared/mvfoul/test] [--videos 8] [--repeats 5]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from decord import VideoReader, cpu
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessor, VideoMAEModel
from transformers.utils import logging

from fouls.cache.store import Store
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.table import absolute_paths
from fouls.pipeline.backbones.counting import count
from fouls.pipeline.backbones.loading import load_blank
from fouls.pipeline.benchmark.stages import PRODUCT_SIZE, measure_peak
from fouls.pipeline.benchmark.whole import time_extract
from fouls.pipeline.options import ExecutorOptions, ExtractOptions
from fouls.pipeline.prepare import Prepared, prepare

FP32, BF16, EXTRACT = "loop in fp32, a video at a time", "loop in bf16, in batches", "fouls extract"
LEAST = {FP32: 4.0, BF16: 1.4}
"""How many times faster extract has to be."""
LEAST_COSINE = 0.999
"""Of each video's features to those of the fp32 loop."""
ENDINGS = {".mp4", ".avi", ".mkv", ".mov", ".webm"}
Clip = tuple[str, list[int]]
"""A video's path, and its frames."""


@dataclass(kw_only=True)
class Loop:
    """The loop that people write."""

    model: VideoMAEModel
    processor: VideoMAEImageProcessor
    batch_size: int = 1

    @torch.no_grad()
    def features(self, clips: list[Clip]) -> np.ndarray:
        """(videos, D), by the mean over tokens."""
        found = []
        for batch in batches(clips, self.batch_size):
            videos = [list(VideoReader(path, ctx=cpu(0)).get_batch(indices).asnumpy()) for path, indices in batch]
            pixels = self.processor(videos, return_tensors="pt")["pixel_values"].to(self.model.dtype)
            found.append(self.model(pixels).last_hidden_state.mean(1).float())
        return torch.cat(found).numpy()


@dataclass(kw_only=True)
class Figures:
    """What was measured."""

    num_videos: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: {FP32: [], BF16: [], EXTRACT: []})
    """Way → seconds of every time."""
    cosines: dict[str, float] = field(default_factory=dict)
    """Way → the smallest of any video's features to those of the fp32 loop."""

    def faults(self) -> list[str]:
        """Print a line a way; return what falls short."""
        faults = []
        for name, seconds in self.seconds.items():
            speeds = [self.num_videos / each for each in seconds]
            faster = [each / ours for each, ours in zip(seconds, self.seconds[EXTRACT], strict=True)]
            ratio = statistics.median(faster)
            print(
                f"{name:32s} {statistics.median(speeds):6.3f} clips/s ({min(speeds):.3f} … {max(speeds):.3f})  "
                f"extract is {ratio:5.2f} × as fast ({min(faster):.2f} … {max(faster):.2f})  "
                f"cosine {self.cosines[name]:.6f}"
            )
            if ratio < LEAST.get(name, 0.0):
                faults.append(f"{ratio:.2f} × as fast as the {name}; wanted {LEAST[name]}")
        if self.cosines[EXTRACT] < LEAST_COSINE:
            faults.append(f"cosine {self.cosines[EXTRACT]:.6f} to the {FP32}; wanted {LEAST_COSINE}")
        return faults


def batches(clips: list[Clip], size: int) -> Iterator[list[Clip]]:
    """So many at once."""
    for first in range(0, len(clips), size):
        yield clips[first : first + size]


def make_project(folder: Path, source: Path, num_videos: int) -> Prepared:
    """Copies of some videos, again from the first where there are too few; their manifest, and made-up weights."""
    found = sorted(path for path in source.rglob("*") if path.suffix in ENDINGS)
    if not found:
        raise SystemExit(f"{source} has no videos: give a folder with --source")
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, num_videos).round().astype(int)]
    (folder / "videos").mkdir()
    for number, path in enumerate(chosen):
        shutil.copyfile(path, folder / "videos" / f"{number:04d}{path.suffix}")
    build_manifest(list_videos("videos", BuildOptions(sources=(folder / "videos",))), folder / "videos.parquet")
    torch.manual_seed(0)
    VideoMAEForVideoClassification(VideoMAEConfig()).save_pretrained(folder / "weights")
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    VideoMAEImageProcessor(**imagenet).save_pretrained(folder / "weights")
    return prepare(
        ExtractOptions(
            backbone="videomae",
            weights=str(folder / "weights"),
            manifest=folder / "videos.parquet",
            out=folder / "store",
            executor=ExecutorOptions(device="cpu"),
        )
    )


def clips_of(store: Store, prepared: Prepared) -> list[Clip]:
    """The frames that extract takes, in the order of the rows."""
    manifest = prepared.manifest
    paths = dict(zip(manifest["video_id"].to_pylist(), absolute_paths(manifest), strict=True))
    rows = store.rows()
    return [
        (paths[video_id], indices)
        for video_id, indices in zip(rows["video_id"].to_pylist(), rows["frame_indices"].to_pylist(), strict=True)
    ]


def smallest_cosine(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of any row, in fp64."""
    ours, theirs = found.astype(np.float64), wanted.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


def measure(folder: Path, prepared: Prepared, repeats: int) -> Figures:
    """Everything in turn, after a first time for all."""
    weights = folder / "weights"
    processor = VideoMAEImageProcessor.from_pretrained(weights)
    _, store = time_extract(prepared, folder / "first", repeats=1)
    clips = clips_of(store, prepared)
    loops = {
        FP32: Loop(model=VideoMAEModel.from_pretrained(weights).eval(), processor=processor),
        BF16: Loop(
            model=VideoMAEModel.from_pretrained(weights, dtype=torch.bfloat16).eval(),
            processor=processor,
            batch_size=prepared.batch_size(len(clips)),
        ),
    }
    features = {EXTRACT: np.asarray(store["mean"])}
    for loop in loops.values():
        loop.features(clips[:1])
    figures = Figures(num_videos=len(clips))
    for number in range(repeats):
        for name, loop in loops.items():
            started = time.perf_counter()
            features[name] = loop.features(clips)
            figures.seconds[name].append(time.perf_counter() - started)
        timing, _ = time_extract(prepared, folder / str(number), repeats=1)
        figures.seconds[EXTRACT].append(timing.seconds[0])
    figures.cosines = {name: smallest_cosine(found, features[FP32]) for name, found in features.items()}
    return figures


def main() -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("../shared/mvfoul/test"), help="a folder of videos")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.videos < 1 or options.repeats < 1:
        parser.error("--videos and --repeats must be 1 or more")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        prepared = make_project(Path(name), options.source, options.videos)
        print(
            f"VideoMAE-B, {options.videos} videos, {options.repeats} times, {torch.get_num_threads()} threads; "
            f"extract in {prepared.backbone.precision}, {prepared.engine_options.decode_workers} decoding",
            flush=True,
        )
        figures = measure(Path(name), prepared, options.repeats)
        faults = figures.faults()
        operations = 2 * count(load_blank("videomae")).multiply_adds
        peak = measure_peak(prepared.backbone.device, prepared.backbone.precision, repeats=options.repeats)
    most = statistics.median(figures.seconds[FP32]) / options.videos * peak / operations
    print(
        f"product of {PRODUCT_SIZE}² in {prepared.backbone.precision}: {peak / 1e9:.0f} GFLOP/s; at that rate, with "
        f"decoding for nothing, extract would be {most:.2f} × as fast as the {FP32}"
    )
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
