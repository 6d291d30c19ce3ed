"""Odd but sound: videos of every codec, pixel format, size, clock and container that PyAV can write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from .cases import DONE
from .encoding import Picture, encode, encode_sound, pictures

FRAMES = 24
WIDTH, HEIGHT = 96, 64


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A kind of file."""

    ending: str
    write: Callable[[Path], object]
    expected: frozenset[str] = DONE
    """What may come of it: ``done``, or classes of error."""
    is_slow: bool = False
    """Whether it takes seconds to write or to read."""


def _odd(ending: str, *, frames: int = FRAMES, size: tuple[int, int] = (WIDTH, HEIGHT), **how: object) -> Odd:
    def write(path: Path) -> None:
        encode(path, pictures(frames, *size), **how)  # type: ignore[arg-type]

    return Odd(ending=ending, write=write, is_slow=size[0] * size[1] > 4_000_000)


def _joined(
    container: str,
    codec: str,
    *,
    sizes: tuple[tuple[int, int], ...] = ((WIDTH, HEIGHT),) * 2,
    pix_fmts: tuple[str, ...] = ("yuv420p",) * 2,
) -> Odd:
    """One stream whose pictures change in size or format on the way."""

    def write(path: Path) -> None:
        whole = b""
        for size, pix_fmt in zip(sizes, pix_fmts, strict=True):
            encode(path, pictures(FRAMES // 2, *size), codec=codec, pix_fmt=pix_fmt, container=container)
            whole += path.read_bytes()
        path.write_bytes(whole)

    return Odd(ending=".ts", write=write)


def _noise(path: Path) -> None:
    rng = np.random.default_rng(0)
    frames: list[Picture] = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(FRAMES)]
    encode(path, frames)


def _times(rule: Callable[[int], int]) -> list[int]:
    return [rule(number) for number in range(FRAMES)]


_PIX_FMTS = {
    "h264": ("libx264", ".mp4", ["yuv422p", "yuv444p", "yuvj420p", "nv12", "gray"]),
    "h264 10 bit": ("libx264", ".mp4", ["yuv420p10le", "yuv444p10le", "gray10le"]),
    "h264 rgb": ("libx264rgb", ".mp4", ["rgb24"]),
    "hevc": ("libx265", ".mp4", ["yuv420p", "yuv420p10le", "yuv422p12le", "yuv444p", "gray"]),
    "vp9": ("libvpx-vp9", ".webm", ["yuv420p", "yuva420p", "yuv444p", "yuv440p", "gbrp"]),
    "av1": ("libsvtav1", ".mkv", ["yuv420p", "yuv420p10le"]),
    "ffv1": ("ffv1", ".mkv", ["bgr0", "bgra", "gray", "gray16le", "yuv410p", "yuv411p", "yuva444p", "gbrp16le", "ya8"]),
    "prores": ("prores_ks", ".mov", ["yuv422p10le", "yuva444p10le"]),
    "qtrle": ("qtrle", ".mov", ["rgb24", "argb", "gray", "rgb555be"]),
    "png": ("png", ".mov", ["rgb24", "rgba", "gray", "monob", "rgb48be"]),
    "gif": ("gif", ".gif", ["rgb8", "gray"]),
    "apng": ("apng", ".apng", ["rgba"]),
    "rawvideo": ("rawvideo", ".avi", ["yuv420p", "bgr24", "rgb555le", "yuyv422"]),
    "mjpeg": ("mjpeg", ".avi", ["yuvj420p", "yuvj444p"]),
    "huffyuv": ("huffyuv", ".avi", ["yuv422p", "rgb24"]),
    "utvideo": ("utvideo", ".avi", ["gbrap"]),
    "jpeg2000": ("jpeg2000", ".mkv", ["yuv420p", "rgb24"]),
}  # fmt: skip
_CODECS = {
    ".mp4": ["mpeg4", "mpeg2video", "libsvtav1", "libvpx-vp9"],
    ".avi": ["mpeg4", "msmpeg4", "cinepak", "magicyuv", "zmbv", "msvideo1"],
    ".mkv": ["libx264", "libvpx", "mpeg4", "snow"],
    ".ts": ["libx264", "mpeg2video", "libx265"],
    ".mpg": ["mpeg1video", "mpeg2video"],
    ".flv": ["libx264", "flv"],
    ".wmv": ["wmv1", "wmv2", "msmpeg4v2"],
    ".mov": ["libx264", "svq1", "cfhd"],
    ".3gp": ["mpeg4"],
    ".mxf": ["mpeg2video"],
    ".webm": ["libvpx"],
    ".nut": ["ffv1"],
    ".m2ts": ["libx264"],
    ".y4m": ["wrapped_avframe"],
    ".webp": ["libwebp_anim"],
}
_NEED = {
    "cfhd": "yuv422p10le",
    "cinepak": "rgb24",
    "magicyuv": "gbrp",
    "msvideo1": "rgb555le",
    "svq1": "yuv410p",
    "zmbv": "bgr0",
}
"""The pixel format of encoders that do not take 4:2:0."""
_SIZES = ((1, 1), (2, 2), (3, 5), (1, 400), (400, 1), (97, 63), (17, 4001), (720, 406), (1920, 1080), (7680, 4320))


def odd_videos() -> dict[str, Odd]:
    """Name → kind of file; an encoder may turn out not to make one of them, see :class:`benchmarks.damage.corpus`."""
    found = {
        f"{name} {pix_fmt}": _odd(ending, codec=codec, pix_fmt=pix_fmt)
        for name, (codec, ending, pix_fmts) in _PIX_FMTS.items()
        for pix_fmt in pix_fmts
    }
    for ending, codecs in _CODECS.items():
        for codec in codecs:
            pix_fmt = _NEED.get(codec, "yuv420p")
            found[f"{codec} in {ending}"] = _odd(ending, codec=codec, pix_fmt=pix_fmt)
    for width, height in _SIZES:
        even = width % 2 == height % 2 == 0
        codec = "libx264" if even else "png"
        frames = 3 if width > 4000 else FRAMES
        how = {"options": {"preset": "ultrafast"}} if even else {"pix_fmt": "rgb24"}
        name = f"{width}x{height} {codec}"
        found[name] = _odd(".mp4" if even else ".mov", codec=codec, size=(width, height), frames=frames, **how)
        found[f"{width}x{height} mjpeg"] = _odd(
            ".avi", codec="mjpeg", pix_fmt="yuvj444p", size=(width, height), frames=3
        )
    found["7680x4320 av1"] = _odd(".mp4", codec="libsvtav1", size=(7680, 4320), frames=2)
    moving_webp = "libwebp_anim in .webp"  # FFmpeg writes it, and has no decoder for it
    found[moving_webp] = replace(found[moving_webp], expected=DONE | {"decode_error"})
    return found | _clocks() | _structures()


def _clocks() -> dict[str, Odd]:
    """Frames at odd times."""
    clock = partial(_odd, ".mp4")
    return {
        "variable frame rate": clock(times=_times(lambda n: 40 * n + 7 * (n * n % 5))),
        "variable frame rate mkv": _odd(".mkv", times=_times(lambda n: 40 * n + 7 * (n * n % 5))),
        "a gap of an hour": clock(times=_times(lambda n: 40 * n + 3_600_000 * (n > 10))),
        "begins after an hour": clock(times=_times(lambda n: 40 * n + 3_600_000)),
        "begins before zero": clock(times=_times(lambda n: 40 * n - 400)),
        "1000 fps": clock(rate=1000),
        "a frame in ten seconds": clock(rate=Fraction(1, 10)),
        "23.976 fps": clock(rate=Fraction(24000, 1001)),
        "one frame": clock(frames=1),
        "two frames": clock(frames=2),
        "one frame avi": _odd(".avi", codec="mpeg4", frames=1),
        "one frame gif": _odd(".gif", codec="gif", pix_fmt="rgb8", frames=1),
        "a thousand frames": clock(frames=1000, size=(32, 32)),
    }


def _structures() -> dict[str, Odd]:
    """Streams, fields and fragments."""
    whole, half = (WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)
    return {
        **{f"rotated {turn}": _odd(".mp4", rotation=turn) for turn in (90, 180, 270, 45, -90)},
        "rotated 90 hevc 10 bit": _odd(".mp4", codec="libx265", pix_fmt="yuv420p10le", rotation=90),
        "interlaced mpeg2": _odd(".mpg", codec="mpeg2video", interlaced=True),
        "interlaced h264": _odd(".mp4", interlaced=True, options={"x264-params": "tff=1"}),
        "open groups": _odd(".mp4", options={"x264-params": "open-gop=1:bframes=3:b-adapt=0"}),
        "intra refresh": _odd(".mp4", options={"x264-params": "intra-refresh=1"}),
        "one key frame": _odd(".mp4", gop=1000, frames=120),
        "no b-frames": _odd(".mp4", options={"bf": "0"}),
        "b-frames avi": _odd(".avi", codec="mpeg4", options={"bf": "2"}),
        "two video streams": _odd(".mp4", streams=2),
        "three video streams mkv": _odd(".mkv", streams=3),
        "fragmented": _odd(".mp4", container_options={"movflags": "frag_keyframe+empty_moov"}),
        "fast start": _odd(".mp4", container_options={"movflags": "faststart"}),
        "no edit list": _odd(".mp4", container_options={"use_editlist": "0"}),
        "no cues": _odd(".mkv", container_options={"live": "1"}),
        "raw h264": _odd(".mp4", container="h264"),
        "raw hevc": _odd(".mp4", codec="libx265", container="hevc"),
        "raw mpeg4": _odd(".mp4", codec="mpeg4", container="m4v"),
        "raw mjpeg": _odd(".mp4", codec="mjpeg", pix_fmt="yuvj420p", container="mjpeg"),
        "transport stream as mp4": _odd(".mp4", container="mpegts"),
        "matroska as mp4": _odd(".mp4", container="matroska"),
        "gif as mp4": _odd(".mp4", codec="gif", pix_fmt="rgb8", container="gif"),
        "full range": _odd(".mp4", pix_fmt="yuvj420p", codec="libx264"),
        "noise": Odd(ending=".mp4", write=_noise),
        "size changes h264": _joined("mpegts", "libx264", sizes=(whole, half)),
        "size changes raw mpeg2": _joined("mpeg2video", "mpeg2video", sizes=(whole, half)),
        "depth changes hevc": _joined("mpegts", "libx265", pix_fmts=("yuv420p", "yuv420p10le")),
        "sound alone": Odd(ending=".mp4", write=encode_sound, expected=frozenset({"no_video_stream"})),
        "sound with a cover": Odd(
            ending=".mp4",
            write=partial(encode_sound, cover=next(pictures(1, WIDTH, HEIGHT))),
            expected=frozenset({"no_video_stream"}),
        ),
    }  # fmt: skip
