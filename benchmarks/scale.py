"""What does a manifest of a million videos cost, beside decoding and the backbone?

For manifests of 10³ … 10⁶ videos each step runs in processes of its own: reading and checking the manifest, planning a
new store, finding what is left after a run, ``fouls status``, and joining rows, labels and features for a head. Prints
the median seconds of all runs, their spread, and the peak resident memory; draws how they grow; ends with 1 when one of
the limits below is missed at a million videos. The steps are in ``scale_steps.py``.

    python benchmarks/scale.py [--videos 1000 10000 100000 1000000] [--repeats 5] [--picture docs/scale.png]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

STEPS = {
    "read": "read and check the manifest",
    "plan": "extract: plan a new store",
    "resume": "extract: find what is left to do",
    "status": "fouls status",
    "join": "train-head: rows, labels, features",
}
LIMITED_VIDEOS = 1_000_000
LIMITS = {"plan": (60.0, 2e9), "resume": (5.0, None), "status": (3.0, None)}
"""Step → seconds and bytes that it may take at a million videos."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One step at one size."""

    step: str
    num_videos: int
    seconds: tuple[float, ...]
    """Of every run."""
    peak_bytes: float
    """The largest of all runs; of the whole process, its imports among it."""

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def faults(self) -> list[str]:
        """The limits that are missed."""
        if self.num_videos < LIMITED_VIDEOS or self.step not in LIMITS:
            return []
        seconds, size = LIMITS[self.step]
        faults = [f"{self.median:.1f} s, at most {seconds:g} s"] if self.median > seconds else []
        if size is not None and self.peak_bytes > size:
            faults.append(f"{self.peak_bytes / 1e9:.2f} GB, at most {size / 1e9:g} GB")
        return [f"{STEPS[self.step]}: {fault}" for fault in faults]


def run_step(step: str, folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of a step, and the peak resident bytes of its process."""
    script = Path(__file__).with_name("scale_steps.py")
    command = [sys.executable, str(script), step, str(folder), *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(result.stdout)
    return found["seconds"], found["peak_bytes"]


def run_status(folder: Path) -> tuple[float, float]:
    """Seconds of the whole command, its start among it, and its peak resident bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "fouls", "status", str(folder / "store"), "--json"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"fouls status ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def measure(root: Path, num_videos: int, repeats: int) -> list[Measurement]:
    """All steps at one size."""
    folder = root / str(num_videos)
    folder.mkdir()
    run_step("make", folder, str(num_videos))
    found = []
    for step in STEPS:
        if step == "resume":
            run_step("fill", folder)
        runs = []
        for _ in range(repeats):
            if step == "plan":
                shutil.rmtree(folder / "store", ignore_errors=True)
            runs.append(run_status(folder) if step == "status" else run_step(step, folder))
        seconds, peaks = zip(*runs, strict=True)
        found.append(Measurement(step=step, num_videos=num_videos, seconds=seconds, peak_bytes=max(peaks)))
        report(found[-1])
    shutil.rmtree(folder)
    return found


def report(found: Measurement) -> None:
    """Print one line."""
    spread = f"{min(found.seconds):6.2f} … {max(found.seconds):6.2f}"
    figures = f"{found.median:7.2f} s ({spread})  {found.peak_bytes / 1e9:5.2f} GB"
    print(f"{found.num_videos:9,} videos  {STEPS[found.step]:36s} {figures}", flush=True)


def draw(measurements: list[Measurement], path: Path) -> None:
    """Seconds and memory over the number of videos."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for step, name in STEPS.items():
        of_step = [found for found in measurements if found.step == step]
        videos = [found.num_videos for found in of_step]
        left.plot(videos, [found.median for found in of_step], marker="o", markersize=4, label=name)
        right.plot(videos, [found.peak_bytes / 1e9 for found in of_step], marker="o", markersize=4, label=name)
    left.set(xscale="log", yscale="log", xlabel="videos", ylabel="seconds")
    left.yaxis.set_major_formatter("{x:g}")
    right.set(xscale="log", xlabel="videos", ylabel="peak resident memory, GB", ylim=(0, None))
    left.legend(fontsize=7, frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, print, draw, and say which limits are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measurements = [found for size in options.videos for found in measure(Path(folder), size, options.repeats)]
    if options.picture is not None:
        draw(measurements, options.picture)
    faults = [fault for found in measurements for fault in found.faults]
    for fault in faults:
        print(f"too much: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
