"""``webdataset``: tar shards, a sample a video: ``NAME.npy`` and ``NAME.json``."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from fouls.cache.export.about import About
from fouls.cache.export.npy import json_bytes, npy_bytes
from fouls.cache.export.videos import VideoFeatures

SHARD_BYTES = 256 * 2**20
"""A shard is closed when it has grown to that."""


def write(
    folder: Path, videos: Iterable[VideoFeatures], about: About, *, shard_bytes: int = SHARD_BYTES
) -> dict[str, str]:
    """Write ``features-000000.tar`` and so on.

    Returns:
        Videos that are left out, and why: none.
    """
    left = iter(videos)
    number, video = 0, next(left, None)
    while video is not None:
        with tarfile.open(folder / f"features-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            while video is not None and shard.offset < shard_bytes:
                _add(shard, f"{video.name}.npy", npy_bytes(video.values))
                _add(shard, f"{video.name}.json", json_bytes(video.to_dict()))
                video = next(left, None)
        number += 1
    return {}


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    shard.addfile(member, io.BytesIO(data))
