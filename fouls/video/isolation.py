"""Calls in processes that may hang or die: each costs its own call and nothing else.

Every process has a pipe of its own and a thread here that waits at it. Nothing is shared between processes, no lock and
no queue, so that one may be killed at any moment, in the middle of a lock or of a half-sent result, without harm to
the others. (Pools whose workers share a result queue don't survive that.)
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Self, TypeVar

from fouls.errors import ConfigError, ExecutorError, VideoError
from fouls.video.isolation_worker import serve

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

P = ParamSpec("P")
T = TypeVar("T")

START_SECONDS = 120.0
"""A process that has not finished its imports by then won't."""
STARTS = 3
"""Tries to start a process that is killed from outside meanwhile."""
PAUSE_SECONDS = 0.1
"""Before the next try."""
STOP_SECONDS = 5.0
"""A killed process that is still there by then is stuck in the kernel, at a dead network drive for instance."""
MEMORY_BYTES = 4 * 2**30
"""What one call may take: enough for any 8K video, and not enough for a file that lies to bring a machine down."""

KILLED = "SIGKILL, perhaps for want of memory"
SERVER_KILLED = "exit code 255, as when the server dies that it was forked from"
"""How processes end that have done nothing wrong."""

_process_table = threading.Lock()
"""Starting and reaping processes touches a table of :mod:`multiprocessing` that is not safe between threads."""


class _Call(NamedTuple):
    pickled: memoryview | bytes
    future: Future[Any]


class IsolatedPool:
    """Runs functions in isolated processes, which start when they are first needed.

    Usable from several threads at once; not from a daemonic process, which may not have children.

    Args:
        num_workers: processes, and calls at a time.
        timeout_seconds: for one call, from the moment it begins; the process of a call that takes longer is killed.
        preload: modules that every process imports before its first call; that time does not count.
        memory_bytes: address space for one call, beyond what a process has after its imports; on Linux only.

    Raises:
        ConfigError: a number that can't be.
    """

    def __init__(
        self,
        num_workers: int,
        timeout_seconds: float,
        preload: Sequence[str] = (),
        *,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        if num_workers < 1:
            raise ConfigError(f"number of decoding processes is {num_workers}; it must be at least 1")
        if not timeout_seconds > 0:
            raise ConfigError(f"timeout is {timeout_seconds} s; it must be greater than 0")
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        context = _context(preload)
        arguments = (tuple(preload), memory_bytes)
        self._new_worker = partial(_Worker, context, timeout_seconds, arguments)
        self._workers: list[_Worker] = []
        self._threads: list[threading.Thread] = []
        self.grow(num_workers)

    @property
    def num_workers(self) -> int:
        """Processes, and calls at a time."""
        return len(self._workers)

    def grow(self, num_workers: int) -> None:
        """Have so many processes from now on, if there are fewer and the pool is not closed."""
        with self._closing:
            while not self._closed and len(self._workers) < num_workers:
                worker = self._new_worker()
                thread = threading.Thread(target=worker.run, args=(self._calls,), daemon=True)
                self._workers.append(worker)
                self._threads.append(thread)
                thread.start()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``function(*args, **kwargs)`` called in one of the processes; all of it must be picklable.

        Returns:
            A future with the result, or what the function raised, or a :class:`VideoError`: ``timeout``, or
            ``decoder_crashed`` when the process died or wanted too much memory.
        """
        call = _Call(ForkingPickler.dumps((function, args, kwargs)), Future())
        with self._closing:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._calls.put(call)
        return call.future

    def close(self) -> None:
        """Cancel what waits and kill what runs; the futures of both raise ``CancelledError``."""
        with self._closing:
            self._closed = True
        for worker in self._workers:
            worker.close()
        with contextlib.suppress(Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    call.future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """One process after another, and the thread that waits for the one of the moment."""

    def __init__(
        self, context: ForkServerContext | SpawnContext, timeout_seconds: float, arguments: tuple[tuple[str, ...], int]
    ) -> None:
        self._context = context
        self._timeout_seconds = timeout_seconds
        self._arguments = arguments
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._closed = False

    def run(self, calls: SimpleQueue[_Call | None]) -> None:
        """Do calls until there is a ``None``."""
        while (call := calls.get()) is not None:
            if call.future.set_running_or_notify_cancel():
                try:
                    call.future.set_result(self._do(call.pickled))
                except BaseException as error:
                    call.future.set_exception(CancelledError() if self._closed else error)
            del call  # not held while waiting for the next
        self._stop()

    def close(self) -> None:
        """Kill the process, from another thread; the worker does no more calls."""
        self._closed = True
        with _process_table:
            if self._process is not None:
                self._process.kill()

    def _do(self, call: memoryview | bytes) -> Any:
        succeeded, result = pickle.loads(self._exchange(call))
        if not succeeded:
            if isinstance(result, VideoError) and result.code == "decoder_crashed":
                self._stop()  # it ran out of memory, and who knows what it has left behind
            raise result
        return result

    def _exchange(self, call: memoryview | bytes) -> bytes:
        connection, process = self._send(call)
        answered = True
        try:
            answered = bool(wait([connection, process.sentinel], self._timeout_seconds))
            if answered and connection.poll():
                return connection.recv_bytes()
        except (EOFError, OSError):
            pass
        if not answered:
            self._stop()
            raise VideoError("timeout", f"took longer than {self._timeout_seconds:g} s and was stopped")
        raise VideoError("decoder_crashed", f"the decoding process died: {self._stop(grace_seconds=1.0)}")

    def _send(self, call: memoryview | bytes) -> tuple[Connection, BaseProcess]:
        """Hand over a call, and once more to a new process where the one that waited turns out to be dead."""
        connection, process = self._running()
        try:
            connection.send_bytes(call)
        except OSError:
            self._stop()
            connection, process = self._running()
            with contextlib.suppress(OSError):  # then it has died of this call
                connection.send_bytes(call)
        return connection, process

    def _running(self) -> tuple[Connection, BaseProcess]:
        """The process, and the pipe to it; a new one where there is none, or where it has died since its last call."""
        if self._process is not None and wait([self._process.sentinel], 0):
            self._stop()
        if self._process is None or self._connection is None:
            self._connection, self._process = self._start()
        return self._connection, self._process

    def _start(self) -> tuple[Connection, BaseProcess]:
        """Start a process; again, where it is killed before it has imported everything, or its fork server is."""
        for starts in range(1, STARTS + 1):
            ended, ready = SERVER_KILLED, b""
            with contextlib.suppress(ConnectionError):
                connection, process = self._launch()
                ready = _first_message(connection, process)
                ended = "" if ready else self._stop(grace_seconds=1.0)
            if ready:
                break
            if self._closed:
                raise CancelledError
            if ended not in (KILLED, SERVER_KILLED) or starts == STARTS:
                raise ExecutorError(
                    f"a decoding process could not start: {ended}; a script that uses fouls needs "
                    "'if __name__ == \"__main__\":' around what it does"
                )
            time.sleep(PAUSE_SECONDS)
        succeeded, error = pickle.loads(ready)
        if not succeeded:
            self._stop()
            raise error
        if self._closed:
            raise CancelledError
        return connection, process

    def _launch(self) -> tuple[Connection, BaseProcess]:
        """Start a process.

        Raises:
            ConnectionError: the fork server has just been killed; the next try starts another.
        """
        connection, its_end = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(its_end, *self._arguments), name="fouls-isolated", daemon=True
        )
        with _process_table, its_end:
            try:
                process.start()
            except EOFError as error:
                raise ConnectionError from error
            self._connection, self._process = connection, process  # from here on close() can kill it
        return connection, process

    def _stop(self, *, grace_seconds: float = 0.0) -> str:
        """End the process, if there is one; how it ended, in words."""
        with _process_table:
            process, self._process = self._process, None
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            if process is None:
                return "it was not running"
            process.join(grace_seconds)
            if process.exitcode is None:
                process.kill()
                process.join(STOP_SECONDS)
            exit_code = process.exitcode
            if exit_code is not None:
                process.close()
        return _in_words(exit_code)


def _first_message(connection: Connection, process: BaseProcess) -> bytes:
    """What a process says when it is ready; nothing where it ends before, or takes too long."""
    try:
        if wait([connection, process.sentinel], START_SECONDS) and connection.poll():
            return connection.recv_bytes()
    except (EOFError, OSError):
        pass
    return b""


def _in_words(exit_code: int | None) -> str:
    if exit_code is None:
        return "it can't be stopped"
    if exit_code >= 0:
        return SERVER_KILLED if exit_code == 255 else f"exit code {exit_code}"
    return KILLED if exit_code == -signal.SIGKILL else signal.Signals(-exit_code).name


def _context(preload: Sequence[str]) -> ForkServerContext | SpawnContext:
    """A fork server where there is one: its processes start fast, and share none of this process's threads or locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, serve.__module__])
    return context
