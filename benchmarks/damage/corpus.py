"""The corpus: a fixed share of odd videos and strangers, the rest wounded and lying ones, all from one seed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import av

from .cases import DONE, UNREADABLE, Case
from .encoding import encode, pictures
from .lies import LIES
from .odd import Odd, odd_videos
from .strangers import NAMES, strangers
from .wounds import WOUNDS

REAL_BYTES = 800_000
"""Larger real files are left out: what damage does to them is no different, and takes longer."""
MADE_SOURCES = {
    "h264.mp4": {},
    "h264.mkv": {},
    "h264.ts": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "flash.flv": {},
    "windows.wmv": {"codec": "wmv2"},
}
"""Sound videos to be damaged, beside the real ones."""
SLOW_FROM = 500
"""Cases from which on those that take seconds are among them."""
BAD_NAME = b"not \xff UTF-8.mp4"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What was made."""

    cases: tuple[Case, ...]
    not_made: tuple[str, ...]
    """Kinds that the encoders at hand can't write, and why."""


def make_corpus(folder: Path, *, count: int, seed: int, real: Iterable[Path] = ()) -> Corpus:
    """Write ``count`` files below a folder, the same ones for the same seed, versions and real files.

    Args:
        folder: is made; ``files`` and ``names`` below it hold what belongs into a manifest.
        count: files.
        seed: of every choice.
        real: sound videos that are to be damaged too.
    """
    rng = Random(seed)
    for name in ("files", "names", "sources"):
        (folder / name).mkdir(parents=True)
    sources = _sources(folder / "sources", real)
    special = [*strangers(folder / "files", sources[0]), *_names(folder / "names", sources[0])]
    kinds = {kind: odd for kind, odd in odd_videos().items() if count >= SLOW_FROM or not odd.is_slow}
    if count < 2 * (len(special) + len(kinds)):  # a small corpus has some of everything
        special = _some(special, count // 4, rng)
        kinds = dict(_some(list(kinds.items()), count // 4, rng))
    odd, not_made = _odd(folder / "files", kinds)
    wounded = [_wounded(folder / "files", sources, rng, number) for number in range(count - len(special) - len(odd))]
    return Corpus(cases=(*special, *odd, *wounded), not_made=tuple(not_made))


def _some(choices: Sequence[T], count: int, rng: Random) -> list[T]:
    return rng.sample(choices, min(count, len(choices)))


def _sources(folder: Path, real: Iterable[Path]) -> list[Path]:
    made = [encode(folder / name, pictures(36, 128, 96), **how) for name, how in MADE_SOURCES.items()]  # type: ignore[arg-type]
    return made + [path for path in real if path.stat().st_size <= REAL_BYTES]


def _odd(folder: Path, kinds: Mapping[str, Odd]) -> tuple[list[Case], list[str]]:
    cases, not_made = [], []
    for kind, odd in kinds.items():
        path = folder / f"odd {kind.replace('/', ' by ')}{odd.ending}"
        try:
            odd.write(path)
        except (av.FFmpegError, ValueError) as error:
            path.unlink(missing_ok=True)
            not_made.append(f"{kind}: {str(error).splitlines()[0]}")
            continue
        cases.append(Case(path=str(path), kind=kind, group="odd", expected=odd.expected))
    return cases, not_made


def _names(folder: Path, source: Path) -> list[Case]:
    cases = []
    for name in NAMES:
        os.link(source, folder / name)
        cases.append(Case(path=str(folder / name), kind=repr(name), group="name", expected=DONE))
    bad = os.fsencode(folder) + b"/" + BAD_NAME
    os.link(source, bad)
    cases.append(Case(path=os.fsdecode(bad), kind="a name that is not UTF-8", group="name", expected=UNREADABLE))
    return cases


def _wounded(folder: Path, sources: Sequence[Path], rng: Random, number: int) -> Case:
    """One damaged copy of a source; every kind of damage in turn."""
    group = ("wound", "lie", "graft")[min(2, rng.randrange(8) // 3)]  # 3 : 3 : 2
    source = rng.choice([source for source in sources if group != "lie" or source.suffix in (".mp4", ".mov")])
    data = source.read_bytes()
    kind = ""
    wounded: bytes | None = None
    if group == "lie":
        kind = rng.choice(list(LIES))
        wounded = LIES[kind](data, rng)
    elif group == "graft":
        kind, wounded = _grafted(data, rng.choice(sources).read_bytes(), rng)
    if wounded is None:  # no lie fits the file
        group, kind = "wound", list(WOUNDS)[number % len(WOUNDS)]
        wounded = WOUNDS[kind](data, rng)
    path = folder / f"{number:04d} {group}{source.suffix}"
    path.write_bytes(wounded)
    return Case(path=str(path), kind=f"{kind} of {source.name}", group=group)


def _grafted(data: bytes, other: bytes, rng: Random) -> tuple[str, bytes]:
    """Two files made into one."""
    place = rng.choice([100, 1000, 5000, len(data) // 2, len(data) - 5000])
    place = max(1, min(place, len(data) - 1))
    if rng.random() < 0.5:
        return "header before another's body", data[:place] + other[min(place, len(other)) :]
    return "body behind another's header", other[:place] + data[place:]
