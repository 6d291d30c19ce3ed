"""Command lines in processes that are watched: how they end, how long they take, how much memory they have."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PAUSE_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command line has ended."""

    status: int | None
    """``None``: it had to be killed."""
    seconds: float
    tree_bytes: int
    """Peak resident memory of the process and all below it; what they share is counted for each."""
    process_bytes: int
    """That of the largest process below it, which decodes."""
    output: str
    errors: str

    @property
    def has_crashed(self) -> bool:
        """Whether it ended as nothing that is planned ends."""
        return self.status not in (0, 1) or "Traceback" in self.errors


def run_fouls(arguments: list[str], folder: Path, deadline_seconds: float) -> Run:
    """Run one command line of fouls in a folder, and kill it when it takes too long."""
    command = [sys.executable, "-m", "fouls", *arguments]
    started = time.monotonic()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as output,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, cwd=folder, stdout=output, stderr=errors) as process,
    ):
        tree = largest = 0
        status = None
        while time.monotonic() - started < deadline_seconds:
            status = process.poll()
            if status is not None:
                break
            own, below = _resident(process.pid)
            tree, largest = max(tree, own + sum(below)), max([largest, *below])
            time.sleep(PAUSE_SECONDS)
        else:
            process.kill()
        seconds = time.monotonic() - started
        for file in (output, errors):
            file.seek(0)
        return Run(
            status=status,
            seconds=seconds,
            tree_bytes=tree,
            process_bytes=largest,
            output=output.read(),
            errors=errors.read(),
        )


def _resident(pid: int) -> tuple[int, list[int]]:
    """Resident bytes of a process, and of each below it."""
    try:
        process = psutil.Process(pid)
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0, []
    return _bytes_of(process), [_bytes_of(child) for child in below]


def _bytes_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
