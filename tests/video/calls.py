"""What the tests of isolation have done in other processes: it has to be importable there."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch

from fouls.video.isolation_worker import without_memory_limit


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def large(num_bytes: int) -> npt.NDArray[np.uint8]:
    return np.arange(num_bytes, dtype=np.uint8)


def take(num_bytes: int) -> int:
    return len(bytearray(num_bytes))


def take_without_limit(num_bytes: int) -> int:
    with without_memory_limit():
        return take(num_bytes)


_kept: list[bytearray] = []


def keep_without_limit(num_bytes: int) -> int:
    with without_memory_limit():
        _kept.append(bytearray(num_bytes))
    return sum(map(len, _kept))


def take_with_torch(num_bytes: int) -> int:
    return torch.empty(num_bytes, dtype=torch.uint8).numel()


def read_fifo(path: Path) -> bytes:
    """Hangs in the kernel while nobody writes."""
    return path.read_bytes()


def hold_the_gil() -> NoReturn:
    """Sleeps in C with the GIL held: no Python code runs in the process any more, no signal handler either."""
    ctypes.PyDLL(None).sleep(1000)
    raise AssertionError


def leave_a_mark_and_hang(path: Path) -> NoReturn:
    path.write_text(str(os.getpid()))
    hold_the_gil()


def abort() -> NoReturn:
    os.abort()


def die_while_sending(num_bytes: int) -> bytes:
    """Returns more than a pipe holds, and is killed while it is being sent."""

    def kill() -> None:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill).start()
    return bytes(num_bytes)


class WordyError(Exception):
    """Can be pickled, but not restored."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def complain() -> NoReturn:
    raise WordyError("two", "words")


def divide(numerator: int, denominator: int) -> float:
    return numerator / denominator


def unpicklable() -> object:
    return lambda: None
