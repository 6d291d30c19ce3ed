"""Does memory grow with the length of a video, or with the number of videos?

Extracts, with the demo's small VideoMAE, one short and one long video, and a few and many short ones; each in a
process of its own, uniform and dense. Prints the peak resident memory of the process, and of the largest process below
it, which decodes; both are looked at every 20 ms.

    python benchmarks/memory.py [--frames 200 20000] [--videos 20 400]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import psutil

from fouls.demo.backbone import write_backbone

SIZE = 192

PAUSE_SECONDS = 0.02


def write_video(path: Path, num_frames: int) -> None:
    """Noise that drifts: nothing that a codec could make small."""
    rng = np.random.default_rng(num_frames)
    ground = rng.integers(0, 256, (SIZE, 2 * SIZE, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "30"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(num_frames):
            left = number % SIZE
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(ground[:, left : left + SIZE]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def run(folder: Path, *arguments: str) -> tuple[int, int]:
    """Run one command line in a process of its own.

    Returns:
        Peak resident bytes of the process, and of the largest process below it.
    """
    command = [sys.executable, "-m", "fouls", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        own = below = 0
        while process.poll() is None:
            own = max(own, resident(watched))
            below = max([below, *(resident(child) for child in children_of(watched))])
            time.sleep(PAUSE_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return own, below


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """All processes below one; none when it is gone."""
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def resident(process: psutil.Process) -> int:
    """Resident bytes; 0 when the process is gone."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def measure(root: Path, name: str, num_videos: int, num_frames: int) -> None:
    """One project, extracted uniform and dense."""
    folder = root / name.replace(" ", "-")
    for number in range(num_videos):
        target = folder / "videos" / f"{number:05d}.mp4"
        if number == 0:
            write_video(target, num_frames)
        else:
            target.write_bytes((folder / "videos" / "00000.mp4").read_bytes())
    run(folder, "manifest", "build", "videos", "--format", "videos")
    for sampling in (("uniform",), ("dense", "--frame-stride", "1", "--hop", "8")):
        arguments = ["extract", "--backbone", "videomae", "--weights", str(root / "weights"), "--device", "cpu"]
        arguments += ["--sampling", *sampling, "--out", f"cache/{sampling[0]}", "--block-rows", "64"]
        own, below = run(folder, *arguments)
        figures = f"process {own / 2**20:6.0f} MiB  decoding {below / 2**20:6.0f} MiB"
        print(f"{name:24s} {sampling[0]:8s} {figures}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs=2, default=[200, 20000], help="of the short and the long video")
    parser.add_argument("--videos", type=int, nargs=2, default=[20, 400], help="few and many, of 32 frames")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_backbone(root / "weights")
        for frames in options.frames:
            measure(root, f"1 video of {frames} frames", 1, frames)
        for videos in options.videos:
            measure(root, f"{videos} videos of 32", videos, 32)


if __name__ == "__main__":
    main()
