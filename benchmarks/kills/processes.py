"""The processes of an extraction by what they do, and the end of them."""

from __future__ import annotations

import contextlib
from collections import defaultdict

import psutil

GONE_SECONDS = 20.0
"""By then all processes of a run whose main process was killed must be gone."""


def below(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def by_kind(processes: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """``decoding process``, ``fork server`` (that starts those) and ``worker`` (of Dask) → processes."""
    commands = {process.pid: _command(process) for process in processes}
    found = defaultdict(list)
    for process in processes:
        command = commands[process.pid]
        if "forkserver" in command:
            with contextlib.suppress(psutil.NoSuchProcess):
                is_server = "forkserver" not in commands.get(process.ppid(), "")
                found["fork server" if is_server else "decoding process"].append(process)
        elif "spawn_main" in command:
            found["worker"].append(process)
    return dict(found)


def left_after(processes: list[psutil.Process]) -> int:
    """How many of these are still there when all should be gone; they are ended."""
    _, left = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    for process in left:
        kill(process)
    return len(left)


def kill(process: psutil.Process) -> None:
    """SIGKILL."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""
