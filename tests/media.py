"""Small real videos for tests, written with PyAV; and videos whose pictures tell the number of the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

NUMBER_ROWS, NUMBER_COLUMNS = 3, 4
"""The grid of blocks in which a frame's number is drawn, one bit a block: numbers up to 4095."""
BLACK, WHITE = 32, 224

QUALITY = {"libx264": {"crf": "18"}, "libx265": {"crf": "18", "x265-params": "log-level=none:pools=1"}}
"""Options without which a codec's tiny pictures would be poor or slow."""


def write_video(
    path: Path,
    frames: Iterable[Picture],
    *,
    fps: float | Fraction = 25,
    codec: str = "libx264",
    rotation: int = 0,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encode frames into a file; the ending of ``path`` chooses the container.

    Args:
        frames: (H, W, 3) uint8 RGB, all of one size, even in both directions.
        codec: an encoder of the PyAV wheel: libx264, libx265, mpeg4, libvpx-vp9, libsvtav1, ffv1 …
        rotation: degrees, counter-clockwise, by which a player has to turn the stored pictures (mp4, mov).
        gop: frames from one key frame to the next.
        options: of the encoder.

    Returns:
        ``path``; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                rate = Fraction(fps).limit_denominator(1001)
                stream = container.add_stream(codec, rate=rate, options=dict(options or QUALITY.get(codec, {})))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt, stream.gop_size = pix_fmt, gop
                stream.codec_context.thread_count = 1
                if rotation:
                    stream.set_display_rotation(rotation)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def write_audio(path: Path, *, seconds: float = 0.5, codec: str = "aac") -> Path:
    """A media file without pictures: silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, int(48000 * seconds)), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered_frames(num_frames: int, *, width: int = 96, height: int = 64) -> Iterator[Picture]:
    """Frames that carry their number as large black and white blocks, which survive any compression."""
    bits = NUMBER_ROWS * NUMBER_COLUMNS
    for number in range(num_frames):
        values = [WHITE if number >> bit & 1 else BLACK for bit in range(bits)]
        grid = np.array(values, dtype=np.uint8).reshape(NUMBER_ROWS, NUMBER_COLUMNS)
        grey = _enlarged(grid, height, width)
        yield np.repeat(grey[:, :, None], 3, axis=2)


def frame_numbered_video(
    path: Path,
    num_frames: int,
    *,
    width: int = 96,
    height: int = 64,
    fps: float | Fraction = 25,
    codec: str = "libx264",
    rotation: int = 0,
    gop: int = 12,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write :func:`numbered_frames`; the arguments are those of :func:`write_video`."""
    frames = numbered_frames(num_frames, width=width, height=height)
    return write_video(path, frames, fps=fps, codec=codec, rotation=rotation, gop=gop, options=options)


def read_frame_number(frame: Picture) -> int:
    """The number in a frame of :func:`numbered_frames`, at any size and after any compression."""
    height, width = frame.shape[:2]
    number = 0
    for bit in range(NUMBER_ROWS * NUMBER_COLUMNS):
        row, column = divmod(bit, NUMBER_COLUMNS)
        y = int((row + 0.5) * height / NUMBER_ROWS)
        x = int((column + 0.5) * width / NUMBER_COLUMNS)
        if frame[y - 1 : y + 2, x - 1 : x + 2].mean() > (BLACK + WHITE) / 2:
            number |= 1 << bit
    return number


def _enlarged(grid: Picture, height: int, width: int) -> Picture:
    """Nearest neighbour to (height, width)."""
    rows = np.arange(height) * grid.shape[0] // height
    columns = np.arange(width) * grid.shape[1] // width
    return grid[np.ix_(rows, columns)]
