"""Small videos of any kind that PyAV's encoders can write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

QUIET = {"libx265": {"x265-params": "log-level=none:pools=1"}, "libsvtav1": {"preset": "12"}}
"""Options without which an encoder is slow or talks."""


def pictures(num_frames: int, width: int, height: int) -> Iterator[Picture]:
    """A coloured pattern that moves, so that no two frames are alike and no frame is flat."""
    y, x = np.mgrid[:height, :width]
    for number in range(num_frames):
        red = 128 + 90 * np.sin((x + 5 * number) / 17)
        green = 128 + 90 * np.sin((y - 3 * number) / 13)
        blue = np.full_like(red, 40 + 170 * number / max(1, num_frames - 1))
        yield np.stack([red, green, blue], axis=2).astype(np.uint8)


def encode(
    path: Path,
    frames: Iterable[Picture],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    gop: int = 12,
    rotation: int = 0,
    times: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    container: str | None = None,
    container_options: Mapping[str, str] | None = None,
    streams: int = 1,
    interlaced: bool = False,
) -> Path:
    """Encode frames.

    Args:
        path: its ending chooses the container, unless ``container`` names FFmpeg's.
        frames: all of one size.
        codec: an encoder.
        pix_fmt: one that the encoder takes.
        rate: frames a second.
        gop: frames from one key frame to the next.
        rotation: degrees, counter-clockwise, by which a player has to turn the stored pictures.
        times: when each frame is shown, in 1/1000 s; evenly, where not given.
        options: of the encoder.
        container: FFmpeg's name of the format.
        container_options: of the muxer.
        streams: video streams, all with the same pictures, each at half the size of the one before.
        interlaced: whether fields are coded, the top one first.
    """
    with av.open(path, "w", format=container, options=dict(container_options or {})) as output:
        encoders = []
        for number, picture in enumerate(frames):
            if not encoders:
                for level in range(streams):
                    stream = output.add_stream(codec, rate=rate, options=dict(options or QUIET.get(codec, {})))
                    stream.height, stream.width = (max(1, side >> level) for side in picture.shape[:2])
                    stream.pix_fmt, stream.gop_size = pix_fmt, gop
                    stream.codec_context.thread_count = 1
                    if times is not None:
                        stream.codec_context.time_base = Fraction(1, 1000)
                    if rotation:
                        stream.set_display_rotation(rotation)
                    if interlaced:
                        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
                    encoders.append(stream)
            for level, stream in enumerate(encoders):
                shrunk = np.ascontiguousarray(picture[:: 1 << level, :: 1 << level][: stream.height, : stream.width])
                frame = av.VideoFrame.from_ndarray(shrunk, format="rgb24").reformat(format=pix_fmt)
                if times is not None:
                    frame.time_base, frame.pts = Fraction(1, 1000), times[number]
                output.mux(stream.encode(frame))
        for stream in encoders:
            output.mux(stream.encode(None))
    return path


def encode_sound(path: Path, *, cover: Picture | None = None) -> Path:
    """Half a second of silence, with a cover picture where one is given."""
    with av.open(path, "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        picture_stream = None
        if cover is not None:
            picture_stream = output.add_stream("png", rate=1)
            picture_stream.height, picture_stream.width = cover.shape[:2]
            picture_stream.pix_fmt = "rgb24"
            picture_stream.disposition = av.stream.Disposition.attached_pic
        silence = np.zeros((1, 24000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 48000
        packets = [*stream.encode(frame), *stream.encode(None)]
        if picture_stream is not None and cover is not None:
            packets = [*picture_stream.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")), *packets]
        output.mux(packets)
    return path
