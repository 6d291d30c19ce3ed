"""kill -9 at any moment; start again: the store is that of an undisturbed run, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fouls.cache.verify import verify

from .conftest import NUM_VIDEOS, Project
from .test_extract import HOW_IT_WAS_ASKED_FOR, contents

ROUNDS = 4


def command(project: Project, *extra: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fouls", "extract", "--backbone", "videomae", "--weights", str(project.weights)),
        *("--manifest", "manifests", "--block-rows", "1", "--batch-size", "1", *extra),
    ]


def children_of(pid: int) -> set[int]:
    """All processes below one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found: set[int] = set()
    grown = {pid}
    while grown:
        grown = {child for child, parent in parents.items() if parent in grown} - found
        found |= grown
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in state(pid)}


def state(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("extra", [("--device", "cpu"), ("--workers", "2")], ids=["here", "cluster"])
def test_kill_minus_nine_loses_nothing(project: Project, extra: tuple[str, ...]) -> None:
    project.extract("undisturbed", block_rows=1, batch_size=1)
    undisturbed = {k: v for k, v in contents(project.store("undisturbed")).items() if k not in HOW_IT_WAS_ASKED_FOR}
    path = project.path / "cache" / "videomae"
    chance = random.Random(0)
    finished_before: dict[str, bytes] = {}
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            command(project, *extra), cwd=project.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_records(path, process, at_least=len(finished_before) + chance.choice([0, 1, 2]))
        time.sleep(chance.uniform(0, 0.1))
        below = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_gone(below)
        records = {file.name: file.read_bytes() for file in (path / "ledger").glob("0*.json")} if path.exists() else {}
        for name, record in finished_before.items():
            assert records[name] == record, "a finished block was done again"
        finished_before = records
    done = subprocess.run(command(project, *extra), cwd=project.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    store = project.store()
    assert {k: v for k, v in contents(store).items() if k not in HOW_IT_WAS_ASKED_FOR} == undisturbed
    assert store.rows()["status"].to_pylist() == ["done"] * NUM_VIDEOS
    assert verify(store).whole
    assert not list(path.rglob("*.partial"))


def wait_for_records(path: Path, process: subprocess.Popen[Any], *, at_least: int) -> None:
    until = time.monotonic() + 60
    while len(list((path / "ledger").glob("0*.json"))) < at_least and process.poll() is None:
        assert time.monotonic() < until, "no block was committed"
        time.sleep(0.02)


def wait_until_gone(pids: set[int]) -> None:
    until = time.monotonic() + 20
    while left := alive(pids):
        assert time.monotonic() < until, f"left behind: {left}"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("extra", [("--device", "cpu"), ("--workers", "2")], ids=["here", "cluster"])
def test_ctrl_c_ends_soon_and_records_no_failure(project: Project, extra: tuple[str, ...]) -> None:
    """The signal reaches every process of the terminal's group; only the one that the user started acts on it."""
    path = project.path / "cache" / "videomae"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *command(project, *extra)[3:]],
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_records(path, process, at_least=1)
    below = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130), err
    assert "Traceback" not in err
    wait_until_gone(below)
    statuses = set(project.store().rows()["status"].to_pylist())
    assert statuses <= {"done", "todo"}
    if process.returncode == 130:
        assert "the same command goes on from there" in err


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fouls.cli import main
main()
"""
"""A shell's background jobs ignore the signal; a test may be one."""
