"""Lies: MP4 files whose boxes say what is not so. Each gives ``None`` where a file lacks the box."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from .boxes import find, patched, renamed, top_level

Lie = Callable[[bytes, Random], bytes | None]

COUNTS = (0, 1, 3, 1000, 2**24, 2**31 - 1, 2**32 - 1)
SIZES = (0, 1, 3, 7, 20_000, 32_767, 65_535)


def _number(kind: bytes, offset: int, layout: str, values: tuple[int, ...]) -> Lie:
    """Another number in the body of a box."""

    def lie(data: bytes, rng: Random) -> bytes | None:
        found = [box for box in find(data, kind) if box.body + offset + struct.calcsize(layout) <= box.stop]
        return patched(data, rng.choice(found).body + offset, layout, rng.choice(values)) if found else None

    return lie


def _entries(kind: bytes, entries_from: int, values: tuple[int, ...]) -> Lie:
    """Other numbers in some entries of a table."""

    def lie(data: bytes, rng: Random) -> bytes | None:
        found = [box for box in find(data, kind) if box.stop - box.body >= entries_from + 4]
        if not found:
            return None
        box = rng.choice(found)
        for _ in range(rng.choice([1, 3, 20])):
            entry = rng.randrange((box.stop - box.body - entries_from) // 4)
            data = patched(data, box.body + entries_from + 4 * entry, ">I", rng.choice(values))
        return data

    return lie


def _gone(kind: bytes) -> Lie:
    """A box that no program finds."""

    def lie(data: bytes, rng: Random) -> bytes | None:
        found = find(data, kind)
        return renamed(data, rng.choice(found), b"free") if found else None

    return lie


def picture_size(data: bytes, rng: Random) -> bytes | None:
    """The sample description says another size than the stream."""
    found = [box for box in find(data, b"stsd") if box.stop - box.body >= 44]
    if not found:
        return None
    return patched(data, found[0].body + 8 + 32, ">HH", rng.choice(SIZES), rng.choice(SIZES))


def codec_name(data: bytes, rng: Random) -> bytes | None:
    """The sample description names another codec."""
    found = find(data, b"stsd")
    if not found:
        return None
    offset = found[0].body + 8 + 4
    return data[:offset] + rng.choice([b"hev1", b"mp4v", b"jpeg", b"ap4h", b"vp09", b"xxxx"]) + data[offset + 4 :]


def index_first(data: bytes, _rng: Random) -> bytes | None:
    """``moov`` moved to the other end without its offsets: every sample is looked for at the wrong place."""
    top = top_level(data)
    kinds = [box.kind for box in top]
    if b"moov" not in kinds or b"mdat" not in kinds:
        return None
    order = sorted(top, key=lambda box: {b"ftyp": 0, b"moov": 1}.get(box.kind, 2))
    if order == top:
        order = sorted(top, key=lambda box: {b"moov": 2, b"ftyp": 0}.get(box.kind, 1))
    return b"".join(data[box.start : box.stop] for box in order)


def time_goes_back(data: bytes, rng: Random) -> bytes | None:
    """Composition offsets that throw the frames about in time."""
    return _entries(b"ctts", 8, (0, 2**31 - 1, 2**31, 2**32 - 5000))(data, rng)


LIES: dict[str, Lie] = {
    "frame count (stts)": _number(b"stts", 8, ">I", COUNTS),
    "frame times (stts)": _number(b"stts", 12, ">I", (0, 1, 2**30, 2**32 - 1)),
    "entries (stts)": _number(b"stts", 4, ">I", COUNTS),
    "sample count (stsz)": _number(b"stsz", 8, ">I", COUNTS),
    "sample size for all (stsz)": _number(b"stsz", 4, ">I", (1, 100, 2**20, 2**31 - 1)),
    "sample sizes (stsz)": _entries(b"stsz", 12, (0, 1, 50, 2**20, 2**31 - 1, 2**32 - 1)),
    "offsets (stco)": _entries(b"stco", 8, (0, 1, 40, 2**20, 2**31, 2**32 - 1)),
    "chunks (stsc)": _entries(b"stsc", 8, (0, 1, 2, 2**16, 2**32 - 1)),
    "key frames (stss)": _entries(b"stss", 8, (0, 1, 2, 5, 2**31)),
    "key frames gone (stss)": _gone(b"stss"),
    "composition (ctts)": time_goes_back,
    "time scale (mdhd)": _number(b"mdhd", 12, ">I", (0, 1, 2**31, 2**32 - 1)),
    "duration (mvhd)": _number(b"mvhd", 16, ">I", (0, 1, 2**32 - 1)),
    "edit begins (elst)": _number(b"elst", 12, ">I", (1, 500, 5000, 2**31 - 1, 2**32 - 2)),
    "edit lasts (elst)": _number(b"elst", 8, ">I", (0, 1, 100, 500, 2**32 - 1)),
    "edits (elst)": _number(b"elst", 4, ">I", COUNTS),
    "display matrix (tkhd)": _number(b"tkhd", 40, ">I", (0, 1, 2**16, 2**31, 2**32 - 2**16)),
    "picture size (stsd)": picture_size,
    "codec (stsd)": codec_name,
    "codec data gone (avcC)": _number(b"stsd", 98, ">I", (0, 2**31, 2**32 - 1)),
    "index moved (moov)": index_first,
    "index gone (moov)": _gone(b"moov"),
    "pictures gone (mdat)": _gone(b"mdat"),
    "sample table gone (stbl)": _gone(b"stbl"),
    "track gone (trak)": _gone(b"trak"),
    "size of the pictures (mdat)": lambda data, rng: _size(data, b"mdat", rng),
    "size of the index (moov)": lambda data, rng: _size(data, b"moov", rng),
}


def _size(data: bytes, kind: bytes, rng: Random) -> bytes | None:
    """A box says that it is smaller or larger than it is."""
    found = find(data, kind)
    return patched(data, found[0].start, ">I", rng.choice([0, 4, 9, 1000, 2**31, 2**32 - 1])) if found else None
