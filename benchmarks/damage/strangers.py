"""What lies among videos and is none: other files, things that are no files, and names that trip programs up."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import av

from .boxes import patched
from .cases import DONE, NO_PICTURES, UNREADABLE, Case
from .encoding import encode, pictures

TEXTS: Mapping[str, bytes] = {
    "text": b"This is a text file.\n" * 200,
    "page": b"<!DOCTYPE html><html><head><title>404</title></head><body>not found</body></html>\n",
    "json": b'{"error": {"code": 403, "message": "quota exceeded"}}\n',
    "shell script": b"#!/bin/sh\necho no video\n",
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "playlist of files": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsound.ts\n#EXT-X-ENDLIST\n",
    "playlist of addresses": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    "concatenation": b"ffconcat version 1.0\nfile 'sound.mp4'\n",
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    b"a=rtpmap:96 H264/90000\n",
    "pointer of git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
}
"""Name → bytes that stand in a file named like a video."""

NAMES = (
    "two words.mp4",
    "new\nline.mp4",
    "tab\there.mp4",
    "carriage\rreturn.mp4",
    "escape\x1b[31mred\x1b[0m.mp4",
    "'single' \"double\" `back`.mp4",
    "[bold red]markup.mp4",
    "[link=file:x]link[.mp4",
    "$(touch x);&|.mp4",
    "-leading-dash.mp4",
    "per%cent %d %s {0} {name}.mp4",
    "colon: pipe:0.mp4",
    "hash#question?.mp4",
    "back\\slash.mp4",
    "comma, semicolon;.mp4",
    "ünïcödé 視頻 🎬.mp4",
    "right to left \u202e4pm.mp4",
    "MANY.DOTS.IN.A.NAME.MP4",
    "l" * 240 + ".mp4",
    "file:protocol.mp4",
    "~.mp4",
)
"""Names of sound videos."""


IMAGES = {
    "png": ("png", "rgb24"),
    "jpg": ("mjpeg", "yuvj420p"),
    "bmp": ("bmp", "bgr24"),
    "webp": ("libwebp", "yuv420p"),
    "tiff": ("tiff", "rgb24"),
    "gif": ("gif", "rgb8"),
}
"""Name → encoder and pixel format."""


def image(name: str) -> bytes:
    """One picture, as FFmpeg's encoder writes it."""
    codec, pix_fmt = IMAGES[name]
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, pix_fmt, 1  # type: ignore[attr-defined]
    frame = av.VideoFrame.from_ndarray(next(pictures(1, 96, 64)), format="rgb24").reformat(format=pix_fmt)
    packets = [*encoder.encode(frame), *encoder.encode(None)]  # type: ignore[attr-defined]
    return b"".join(bytes(packet) for packet in packets)


def archive(data: bytes) -> bytes:
    """A ZIP with a video in it, not compressed: its bytes are all there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("video.mp4", data)
    return buffer.getvalue()


def strangers(folder: Path, video: Path) -> list[Case]:
    """Write everything here but the names.

    Args:
        folder: where to.
        video: a sound one.
    """
    cases = []
    contents = {name: (data, "stranger", NO_PICTURES) for name, data in TEXTS.items()}
    contents["archive"] = (archive(video.read_bytes()), "stranger", NO_PICTURES)
    contents |= {f"{name} image": (image(name), "stranger", DONE | UNREADABLE) for name in IMAGES}
    contents |= {name: (data, "bomb", EXPLODED) for name, data in bombs(folder).items()}
    for name, (data, group, expected) in contents.items():
        path = folder / f"{group} {name}.mp4"
        path.write_bytes(data)
        cases.append(Case(path=str(path), kind=name, group=group, expected=expected))
    for name, (make, expected) in PLACES.items():
        path = folder / f"place {name}.mp4"
        make(path)
        cases.append(Case(path=str(path), kind=name, group="stranger", expected=expected))
    return cases


EXPLODED = frozenset({"unreadable", "decode_error", "decoder_crashed"})


def bombs(folder: Path) -> dict[str, bytes]:
    """Small files that declare pictures of gigabytes: name → bytes."""
    avi = encode(folder / "bomb.avi", pictures(2, 96, 64), codec="rawvideo")
    avi_bytes = avi.read_bytes()
    avi.unlink()
    header = avi_bytes.index(b"strf") + 12  # width and height of the BITMAPINFOHEADER
    png, gif, bmp, jpg = (image(name) for name in ("png", "gif", "bmp", "jpg"))
    start = jpg.index(b"\xff\xc0") + 5  # of frame: height and width
    found = {}
    for side in (12_000, 60_000):
        found |= {
            f"png of {side}": _patched(png, 16, ">II", side),
            f"gif of {side}": _patched(gif, 6, "<HH", side),
            f"bmp of {side}": _patched(bmp, 18, "<ii", side),
            f"jpg of {side}": _patched(jpg, start, ">HH", side),
            f"avi of {side}": _patched(avi_bytes, header, "<ii", side),
            f"y4m of {side}": f"YUV4MPEG2 W{side} H{side} F25:1 Ip C420jpeg\nFRAME\n".encode() + bytes(100_000),
        }
    return found | {"avi of 100000": _patched(avi_bytes, header, "<ii", 100_000)}


def _patched(data: bytes, place: int, layout: str, side: int) -> bytes:
    return patched(data, place, layout, side, side)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


PLACES: Mapping[str, tuple[Callable[[Path], None], frozenset[str]]] = {
    "empty": (lambda path: path.touch(), UNREADABLE),
    "folder": (lambda path: path.mkdir(), UNREADABLE),
    "pipe": (lambda path: os.mkfifo(path), UNREADABLE),
    "link to itself": (lambda path: path.symlink_to(path.name), UNREADABLE),
    "link to nothing": (_link("nowhere.mp4"), UNREADABLE),
    "link to a folder": (_link("."), UNREADABLE),
    "link to endless zeros": (_link("/dev/zero"), UNREADABLE),
    "link to nobody's terminal": (_link("/dev/tty"), UNREADABLE),
    "link to a process": (_link("/proc/self/mem"), UNREADABLE),
    "nothing at all": (lambda path: None, UNREADABLE),
    "gigabyte of nothing": (_sparse, UNREADABLE),
}
"""Name → how it is made, and what may come of it."""
