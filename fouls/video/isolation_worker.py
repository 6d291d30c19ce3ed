"""The inside of an isolated process: take a call, answer it, until the other end closes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

if sys.platform == "linux":
    import fcntl


def serve(connection: Connection, preload: Sequence[str]) -> None:
    """Answer the calls that come over a connection; the first message out says whether the imports worked.

    A call is a pickled (function, args, kwargs); an answer a pickled (succeeded, result or exception).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that owns the pool
    _die_with_owner()
    connection.send_bytes(_answer(_import_all, preload))
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(_run_pickled, call))
        del call


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


def _import_all(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)


def _run_pickled(call: bytes) -> Any:
    function, args, kwargs = pickle.loads(call)
    return function(*args, **kwargs)


def _answer(function: Callable[[Any], Any], argument: Any) -> memoryview | bytes:
    try:
        return ForkingPickler.dumps((True, function(argument)))
    except BaseException as error:
        return pickle.dumps((False, _portable(error)))


def _portable(error: BaseException) -> BaseException:
    """The error with its traceback as a note; in words, where it can't be pickled and restored."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
