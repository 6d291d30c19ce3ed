"""Wounds: what a bad disk, a cut connection or a careless program does to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Wound = Callable[[bytes, Random], bytes]

HEAD_BYTES = 2048
"""Where headers are, in every format."""


def cut_anywhere(data: bytes, rng: Random) -> bytes:
    """A download that ended early."""
    return data[: rng.randrange(1, len(data))]


def cut_in_the_head(data: bytes, rng: Random) -> bytes:
    """Hardly anything has come."""
    return data[: rng.choice([1, 4, 8, 16, 32, 100, 500, 1500])]


def cut_at_the_end(data: bytes, rng: Random) -> bytes:
    """Almost all has come."""
    return data[: -rng.choice([1, 2, 16, 188, 1000, 4096])]


def beginning_lost(data: bytes, rng: Random) -> bytes:
    """The tail of a file."""
    return data[rng.randrange(1, len(data)) :]


def bits_in_the_head(data: bytes, rng: Random) -> bytes:
    """A few flipped bits where the headers are."""
    return _flipped(data, rng, rng.choice([1, 4, 16, 64]), 0, min(HEAD_BYTES, len(data)))


def bits_in_the_tail(data: bytes, rng: Random) -> bytes:
    """A few flipped bits where many files have their index."""
    return _flipped(data, rng, rng.choice([1, 4, 16, 64]), max(0, len(data) - 2 * HEAD_BYTES), len(data))


def one_bit(data: bytes, rng: Random) -> bytes:
    """One flipped bit anywhere."""
    return _flipped(data, rng, 1, 0, len(data))


def bits_anywhere(data: bytes, rng: Random) -> bytes:
    """Many flipped bits behind the headers."""
    return _flipped(data, rng, rng.choice([10, 100, 1000]), min(HEAD_BYTES, len(data) // 2), len(data))


def hole(data: bytes, rng: Random) -> bytes:
    """Zeros where a part of a download never came."""
    start, stop = _span(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def noise(data: bytes, rng: Random) -> bytes:
    """A sector of something else."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + 4096)
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


def bytes_lost(data: bytes, rng: Random) -> bytes:
    """A part is missing, and what follows has moved up."""
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def bytes_added(data: bytes, rng: Random) -> bytes:
    """What follows has moved down; one byte more is what text mode does to a line's end."""
    start = rng.randrange(len(data))
    return data[:start] + rng.randbytes(rng.choice([1, 7, 188, 5000])) + data[start:]


def part_twice(data: bytes, rng: Random) -> bytes:
    """A part is there twice."""
    start, stop = _span(data, rng)
    return data[:stop] + data[start:]


def parts_swapped(data: bytes, rng: Random) -> bytes:
    """Blocks of a file in the wrong order."""
    first, second, third = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def text_mode(data: bytes, _rng: Random) -> bytes:
    """Line ends made into those of another system."""
    return data.replace(b"\n", b"\r\n")


def seven_bits(data: bytes, _rng: Random) -> bytes:
    """The upper half of each byte's values lost after the headers, as an old mail gateway does."""
    head = min(HEAD_BYTES, len(data) // 2)
    return data[:head] + bytes(byte & 127 for byte in data[head:])


def twice(data: bytes, _rng: Random) -> bytes:
    """Two files in one."""
    return data + data


WOUNDS: dict[str, Wound] = {
    "cut anywhere": cut_anywhere,
    "cut in the head": cut_in_the_head,
    "cut at the end": cut_at_the_end,
    "beginning lost": beginning_lost,
    "bits in the head": bits_in_the_head,
    "bits in the tail": bits_in_the_tail,
    "one bit": one_bit,
    "bits anywhere": bits_anywhere,
    "hole": hole,
    "noise": noise,
    "bytes lost": bytes_lost,
    "bytes added": bytes_added,
    "part twice": part_twice,
    "parts swapped": parts_swapped,
    "text mode": text_mode,
    "seven bits": seven_bits,
    "file twice": twice,
}


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice([64, 1024, 16384, max(1, len(data) // 4)]))


def _flipped(data: bytes, rng: Random, count: int, start: int, stop: int) -> bytes:
    wounded = bytearray(data)
    for _ in range(count):
        wounded[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    return bytes(wounded)
