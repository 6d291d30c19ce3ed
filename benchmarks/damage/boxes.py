"""MP4 files as trees of boxes, so that one box can be made to lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"}


@dataclass(frozen=True)
class Box:
    """One box: ``data[start:stop]``, header included; ``body`` is where its content begins."""

    kind: bytes
    start: int
    body: int
    stop: int


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """Every box of a file, those within others after the box that holds them."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and start + 16 <= stop:
            size, body = struct.unpack_from(">Q", data, body)[0], body + 8
        end = stop if size == 0 else start + size
        if end < body or end > stop:
            return
        yield Box(kind, start, body, end)
        if kind in CONTAINERS:
            yield from boxes(data, body, end)
        start = end


def find(data: bytes, kind: bytes) -> list[Box]:
    """The boxes of one kind."""
    return [box for box in boxes(data) if box.kind == kind]


def top_level(data: bytes) -> list[Box]:
    """The boxes that are in no other."""
    top: list[Box] = []
    for box in boxes(data):
        if not top or box.start >= top[-1].stop:
            top.append(box)
    return top


def renamed(data: bytes, box: Box, kind: bytes) -> bytes:
    """The file with a box under another name; nobody reads a ``free`` box."""
    return data[: box.start + 4] + kind + data[box.start + 8 :]


def patched(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    """The file with other numbers at an offset, packed as :mod:`struct` does."""
    return data[:offset] + struct.pack(layout, *values) + data[offset + struct.calcsize(layout) :]
