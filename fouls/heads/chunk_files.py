"""The chunk files of a pool, read straight into the place where they are wanted, without Zarr in between.

A store's chunks are raw little-endian values and their CRC-32C (docs/store.md), so that reading one is a system call
and a checksum. Whatever is laid out in another way is left to Zarr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import numpy.typing as npt
from zarr.codecs import BytesCodec, Crc32cCodec

from fouls.cache.store import Store
from fouls.errors import DamagedStoreError
from fouls.objects.paths import ObjectPath

_CRC_BYTES = 4
_PIECE_BYTES = 1 << 20
"""What is read at once: small enough that it lies in a core's cache when it is summed and looked at."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ChunkFiles:
    """The files of an array with one chunk a block."""

    store: Path
    folder: Path
    """That of the array."""
    chunk_shape: tuple[int, ...]
    """(rows of a block, …)"""
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, store: Store, pool: str) -> Self | None:
        """The files of a pool; ``None`` where its chunks are laid out in another way or on object storage."""
        array = store[pool]
        metadata: Any = array.metadata
        folder = store.path / pool
        plain = (
            sys.byteorder == "little"
            and metadata.codecs == (BytesCodec(endian="little"), Crc32cCodec())
            and metadata.encode_chunk_key((0,)) == "c/0"
            and not metadata.storage_transformers
        )
        if not plain or isinstance(folder, ObjectPath):
            return None
        return cls(store=folder.parent, folder=folder, chunk_shape=array.chunks, dtype=array.dtype)

    def read(self, block: int, values: npt.NDArray[Any], look: Callable[[Bytes], None] = lambda piece: None) -> bool:
        """Read a chunk.

        Args:
            block: which.
            values: where it goes, contiguous, of the shape and dtype of a chunk.
            look: called with every piece as soon as it is there; a piece is a number of whole values.

        Returns:
            Whether the chunk is there: one of nothing but NaN is not stored.

        Raises:
            DamagedStoreError: it is not what was written.
        """
        path = f"{self.folder}/c/{block}{'/0' * (len(self.chunk_shape) - 1)}"
        flat = values.reshape(-1).view(np.uint8)
        try:
            size, found, crc = _read(path, flat, look)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DamagedStoreError(f"{path} can't be read ({error}): `fouls verify {self.store}`") from error
        if size != len(flat) + _CRC_BYTES:
            raise DamagedStoreError(f"{path} has another length than a chunk: `fouls verify {self.store}` tells more")
        if found != int.from_bytes(crc, "little"):
            raise DamagedStoreError(
                f"{path} is damaged, its CRC-32C does not match: `fouls verify {self.store}` tells more"
            )
        return True


def _read(path: str, values: Bytes, look: Callable[[Bytes], None]) -> tuple[int, int, bytes]:
    """Fill in the values, and read what follows them.

    Returns:
        The bytes in all (one too many at most), the CRC-32C of the values, and the one that stands in the file.
    """
    size = crc = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start in range(0, len(values), _PIECE_BYTES):
            piece = values[start : start + _PIECE_BYTES]
            filled = _fill(descriptor, piece)
            size += filled
            if filled < len(piece):
                break
            crc = google_crc32c.extend(crc, piece)
            look(piece)
        stored = os.read(descriptor, _CRC_BYTES + 1)
    finally:
        os.close(descriptor)
    return size + len(stored), crc, stored


def _fill(descriptor: int, values: Bytes) -> int:
    """Read until the values are there, or the file ends; how many bytes there are."""
    size = 0
    while size < len(values) and (count := os.readv(descriptor, [values.data[size:]])):
        size += count
    return size
