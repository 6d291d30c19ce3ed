"""The inside of an isolated process: take a call, answer it, until the other end closes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from fouls.errors import VideoError

if sys.platform == "linux":
    import fcntl
    import resource

TORCH_OUT_OF_MEMORY = "can't allocate memory"
"""In the message of the RuntimeError that torch raises on a CPU."""


def serve(connection: Connection, preload: Sequence[str], memory_bytes: int) -> None:
    """Answer the calls that come over a connection; the first message out says whether the imports worked.

    A call is a pickled (function, args, kwargs); an answer a pickled (succeeded, result or exception).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that owns the pool
    _die_with_owner()
    connection.send_bytes(_answer(_import_all, preload))
    _limit_memory(memory_bytes)
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        try:
            answer = _answer(_run_pickled, call)
        except MemoryError:
            answer = pickle.dumps((False, _too_much(memory_bytes)))
        connection.send_bytes(answer)
        del call, answer


def _die_with_owner() -> None:
    """Have the kernel kill this process when the pool's process dies, even while something here holds the GIL for ever.

    The owner holds the other end of a pipe. Its closing counts as input, and the kernel is asked to report input by
    SIGKILL.
    (PR_SET_PDEATHSIG would wait for the fork server, which lives as long as one of its processes does.) Linux only;
    elsewhere a process ends when its connection closes, unless it hangs.
    """
    owner = multiprocessing.parent_process()
    if owner is None:
        return
    if sys.platform == "linux":
        fcntl.fcntl(owner.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(owner.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(owner.sentinel, fcntl.F_SETFL, fcntl.fcntl(owner.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if not owner.is_alive():  # it died before the lines above
        os._exit(1)


def _limit_memory(num_bytes: int) -> None:
    """Bound what this process may map beyond what it has. Elsewhere than on Linux, nobody counts it like that."""
    if sys.platform == "linux":
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _mapped_bytes() + num_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


@contextmanager
def without_memory_limit() -> Iterator[None]:
    """Lift the bound, for a library that maps more than it takes, as CUDA does: all memory of the GPU and the machine.

    Afterwards the process may map as much beyond what it has then as it might before. Without effect in a process that
    has no bound.
    """
    if sys.platform != "linux":
        yield
        return
    bound, most = resource.getrlimit(resource.RLIMIT_AS)
    if bound == resource.RLIM_INFINITY:
        yield
        return
    left = max(0, bound - _mapped_bytes())
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        yield
    finally:
        _limit_memory(left)


def _mapped_bytes() -> int:
    """Address space that this process has; on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _too_much(memory_bytes: int) -> VideoError:
    return VideoError("decoder_crashed", f"needed more than {memory_bytes / 2**30:g} GiB of memory and was stopped")


def _import_all(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)


def _run_pickled(call: bytes) -> Any:
    function, args, kwargs = pickle.loads(call)
    return function(*args, **kwargs)


def _answer(function: Callable[[Any], Any], argument: Any) -> memoryview | bytes:
    """The pickled answer.

    Raises:
        MemoryError: there was not enough, for the call or for its answer.
    """
    try:
        return ForkingPickler.dumps((True, function(argument)))
    except BaseException as error:
        if isinstance(error, MemoryError) or TORCH_OUT_OF_MEMORY in str(error):
            raise MemoryError from None
        return pickle.dumps((False, _portable(error)))


def _portable(error: BaseException) -> BaseException:
    """The error with its traceback as a note; in words, where it can't be pickled and restored."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
