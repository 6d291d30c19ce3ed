"""Can `fouls verify --recompute` tell rounding from another clip, crop or checkpoint?

Pushes clips through a backbone as a store would have them, in fp32, and again: in fp16 and bf16, with other frames,
with another crop, with other weights, and with another clip's frames. Prints the largest difference by the largest
magnitude of its row, which is what `--recompute` decides by, beside what it allows.

    python benchmarks/recompute.py VIDEO... [--backbone videomae_small] [--weights random:0]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import fouls
from fouls.commands import console
from fouls.pipeline.comparison import TOLERANCE, compare
from fouls.video.decoders import open_video

Clips = list[npt.NDArray[np.uint8]]
"""Of each video (1, T, H, W, 3)."""


def read_clips(videos: list[str], num_frames: int, later: int = 0) -> Clips:
    """Frames over the whole of each video but its last four, ``later`` frames later."""
    clips = []
    for video in videos:
        with open_video(video, "pyav") as reader:
            frames = np.linspace(0, reader.info.num_frames - 5, num_frames).astype(np.int64) + later
            unique = np.unique(frames)
            pictures = dict(zip(unique.tolist(), reader.read(unique), strict=True))
        clips.append(np.stack([pictures[frame] for frame in frames.tolist()])[None])
    return clips


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", help="at least two")
    parser.add_argument("--backbone", default="videomae_small")
    parser.add_argument("--weights", default="random:0")
    parser.add_argument("--other-weights", default="random:1")
    options = parser.parse_args()

    def encoder(precision: str = "fp32", weights: str = options.weights) -> Callable[[Clips], npt.NDArray[np.floating]]:
        backbone = fouls.load_backbone(options.backbone, weights=weights, precision=precision)  # type: ignore[arg-type]
        pool = backbone.default_pool
        return lambda clips: np.concatenate(
            [backbone.encode(clip, pools=[pool])[pool].float().numpy() for clip in clips]
        )

    plain = encoder()
    num_frames = fouls.load_backbone(options.backbone, weights=options.weights).num_frames
    clips = read_clips(options.videos, num_frames)
    expected = plain(clips)
    again = {
        "fp16": encoder("fp16")(clips),
        "bf16": encoder("bf16")(clips),
        "one frame later": plain(read_clips(options.videos, num_frames, later=1)),
        "four frames later": plain(read_clips(options.videos, num_frames, later=4)),
        "mirrored": plain([clip[:, :, :, ::-1].copy() for clip in clips]),
        "another clip": np.roll(expected, 1, axis=0),
        "other weights": encoder(weights=options.other_weights)(clips),
    }
    numbers = np.arange(len(expected))
    rows = []
    for what, features in again.items():
        found = [compare(expected[[n]], features[[n]], numbers[[n]], 0.0).relative_difference for n in numbers]
        rows.append([what, min(found), float(np.median(found)), max(found)])
    console.table(
        f"{options.backbone}, {len(expected)} clips: largest difference by magnitude, beside fp32",
        ["again", "smallest", "median", "largest"],
        rows,
    )
    console.say(f"allowed: {', '.join(f'{precision} {allowed:g}' for precision, allowed in TOLERANCE.items())}")


if __name__ == "__main__":
    main()
