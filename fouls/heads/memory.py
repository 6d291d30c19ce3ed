"""Where large arrays lie: in memory, or, where it does not hold them, in a temporary file that is mapped into it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fouls.errors import RunError

_SHARE = 0.5
_CGROUP = Path("/sys/fs/cgroup")
_PAGE_BYTES = 2 << 20
"""Of a huge page, which Linux gives large arrays."""


def allocate(
    shape: tuple[int, ...], dtype: npt.DTypeLike, *, memory_bytes: int | None = None
) -> npt.NDArray[np.floating]:
    """A new array, not initialised.

    One that is too large for the memory is a ``numpy.memmap`` of a temporary file, which is gone as soon as the array
    is, however the process ends. It lies in the system's folder for such files; ``TMPDIR`` names another.

    Args:
        shape: of the array.
        dtype: of the array.
        memory_bytes: what an array in memory may take; ``None``: half of what is available.

    Raises:
        RunError: neither memory nor disk holds it.
    """
    size_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    limit = int(_SHARE * available_bytes()) if memory_bytes is None else memory_bytes
    if size_bytes <= limit:
        return _on_a_page(size_bytes).view(dtype).reshape(shape)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise RunError(
            f"the features take {size_bytes / 2**30:.1f} GiB: more than half of the memory that is available "
            f"({2 * limit / 2**30:.1f} GiB), and {folder} has {free / 2**30:.1f} GiB left; set TMPDIR to a folder with "
            "room, or read fewer rows or a smaller pool"
        )
    with tempfile.TemporaryFile(dir=folder) as file:  # it has no name, so nothing is left when the map is gone
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def _on_a_page(size_bytes: int) -> npt.NDArray[np.uint8]:
    """Bytes that begin where a huge page does, so that all but the last ones lie in huge pages.

    A kernel copies files there faster than to numpy's own places, which begin 16 bytes behind a small page. What lies
    before is never touched and takes no memory.
    """
    room = np.empty(size_bytes + _PAGE_BYTES, dtype=np.uint8)
    first = -room.ctypes.data % _PAGE_BYTES
    return room[first : first + size_bytes]


def is_mapped(array: npt.NDArray[Any]) -> bool:
    """Whether an array from :func:`allocate`, or a view of it, lies in a file."""
    return isinstance(array, np.memmap)


def fits(size_bytes: int, device: torch.device) -> bool:
    """Whether a device holds so much more: half of a CPU's available memory at most, 0.8 of a GPU's free memory."""
    if device.type == "cuda":
        return size_bytes <= 0.8 * torch.cuda.mem_get_info(device)[0]
    return size_bytes <= _SHARE * available_bytes()


def available_bytes() -> int:
    """Memory that can still be taken; not more than the limit of this process's control group, as containers have."""
    return min(_available_on_machine(), *_limits_of_groups())


def _available_on_machine() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits_of_groups() -> Iterator[int]:
    yield sys.maxsize
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        with suppress(OSError, ValueError):
            yield int((_CGROUP / name).read_text())
