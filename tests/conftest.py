"""Fixtures for every test; the videos that they need are written by :mod:`tests.media`."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small nets: more threads cost more than they bring
os.environ.pop("COLUMNS", None)  # tables are as wide as each test says, whatever terminal started it


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files beside the checkout; a test that needs it is skipped where it isn't."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the real clips in {folder}, which are not part of the repository")
    return folder


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> None:
    """Start the server from which isolated processes fork with all that they import.

    The first pool of a process decides what its server has imported; in most tests that is the one that probes, and
    every decoding process after it would import torch anew.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        forkserver.set_forkserver_preload(
            ["fouls.video.isolation_worker", "fouls.video.probe", "fouls.pipeline.decoding"]
        )
        forkserver.ensure_running()
