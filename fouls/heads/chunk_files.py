"""The chunk files of a pool, read straight into the place where they are wanted, without Zarr in between.

A store's chunks are raw little-endian values and their CRC-32C (docs/store.md), so that reading one is a system call
and a checksum. Whatever is laid out in another way is left to Zarr.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import numpy.typing as npt

from fouls.cache.store import Store
from fouls.cache.verification.structure import ZARR, array_document, read_document, wrong_members
from fouls.errors import DamagedStoreError
from fouls.objects.paths import ObjectPath

_CRC_BYTES = 4
_PIECE_BYTES = 1 << 20
"""What is read at once: small enough that it still lies in a core's cache when it is summed."""

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
        """The files of a pool; ``None`` where it is not laid out like that, or lies on object storage.

        What its ``zarr.json`` says is read without Zarr, which takes a millisecond and more to open an array.
        """
        folder = store.path / pool
        if sys.byteorder != "little" or isinstance(folder, ObjectPath):
            return None
        if wrong_members(read_document(folder / ZARR), array_document(store, pool)):
            return None
        shape = (store.block_rows, *store.pools[pool])
        return cls(store=folder.parent, folder=folder, chunk_shape=shape, dtype=np.dtype(store.spec.stored_dtype))

    def read(self, block: int, values: npt.NDArray[Any]) -> bool:
        """Read a chunk.

        Args:
            block: which.
            values: where it goes, contiguous, of the shape and dtype of a chunk.

        Returns:
            Whether the chunk is there: one of nothing but NaN is not stored.

        Raises:
            DamagedStoreError: it is not what was written.
        """
        path = f"{self.folder}/c/{block}{'/0' * (len(self.chunk_shape) - 1)}"
        flat = values.reshape(-1).view(np.uint8)
        try:
            size, found, stored = _read(path, flat)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DamagedStoreError(f"{path} can't be read ({error}): `fouls verify {self.store}`") from error
        if size != len(flat) + _CRC_BYTES:
            raise DamagedStoreError(f"{path} has another length than a chunk: `fouls verify {self.store}` tells more")
        if found != stored:
            raise DamagedStoreError(
                f"{path} is damaged, its CRC-32C does not match: `fouls verify {self.store}` tells more"
            )
        return True


def _read(path: str, values: Bytes) -> tuple[int, int, int]:
    """Fill in the values, and read what follows them.

    In few calls: each lets another thread run, and where several read, waiting for one's turn again takes longer than
    the call.

    Returns:
        The bytes in all (one too many at most), the CRC-32C of the values, and the one that stands in the file.
    """
    size = crc = 0
    stored = bytearray(_CRC_BYTES + 1)  # one more shows a file that is too long
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start in range(0, len(values), _PIECE_BYTES):
            piece = values[start : start + _PIECE_BYTES]
            is_last = start + len(piece) == len(values)
            filled = _fill(descriptor, piece, stored if is_last else bytearray())
            size += filled
            if filled < len(piece):
                break
            crc = google_crc32c.extend(crc, piece)
    finally:
        os.close(descriptor)
    return size, crc, int.from_bytes(stored[:_CRC_BYTES], "little")


def _fill(descriptor: int, piece: Bytes, rest: bytearray) -> int:
    """Read until the piece is there, and of the rest all but a byte, or the file ends; how many bytes there are."""
    wanted = len(piece) + max(len(rest) - 1, 0)
    size = count = os.readv(descriptor, [piece.data, rest])
    while count and size < wanted:
        count = os.readv(descriptor, [piece.data[size:], memoryview(rest)[max(size - len(piece), 0) :]])
        size += count
    return size
