"""Starts a Dask cluster on this machine: a scheduler, and worker processes, one a GPU or several on the CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Nanny, Scheduler, SpecCluster

from fouls.errors import ExecutorError, first_line
from fouls.pipeline.engine import groups_in_flight

IGNORE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Run by every worker: Ctrl+C at a terminal reaches them too, but it is for this process, which then stops them."""


@contextmanager
def start_cluster(*, workers: int, gpus: Sequence[str] = (), streams: bool = False) -> Iterator[str]:
    """Start a scheduler and worker processes on this machine, reachable from this machine only.

    Args:
        workers: processes, when ``gpus`` is empty; they share the cores.
        gpus: one process for each of these devices, which sees no other (``CUDA_VISIBLE_DEVICES``).
        streams: whether they stream videos: a worker then has a group for each of its threads.

    Yields:
        The scheduler's address.

    Raises:
        ExecutorError: a worker did not start.
    """
    cores = os.cpu_count() or 1
    count = len(gpus) or workers
    cores_each = max(1, cores // count)
    threads = {"OMP_NUM_THREADS": str(cores_each)}
    at_once = (1 if gpus else cores_each) if streams else None
    environments = [{**threads, "CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [threads] * count
    specs = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": groups_in_flight("cuda" if gpus else "cpu", at_once),
                "host": "127.0.0.1",
                "memory_limit": 0,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "env": environment,
                "preload": [IGNORE_INTERRUPTS],
                "silence_logs": logging.CRITICAL,
            },
        }
        for number, environment in enumerate(environments)
    }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    settings = {
        "distributed.worker.daemon": False,  # they start decoding processes
        "distributed.scheduler.allowed-failures": 5,
        "distributed.admin.low-level-log-length": 0,
    }
    with dask.config.set(settings), _start(specs, scheduler) as cluster:
        yield cluster.scheduler_address


def _start(workers: dict[int, dict[str, Any]], scheduler: dict[str, Any]) -> SpecCluster:
    try:
        return SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL)
    except RuntimeError as error:
        raise ExecutorError(
            f"a worker process did not start, or was killed while it did ({first_line(error)}): if memory is short, "
            "give fewer --workers; what is committed stays, and the same command goes on from there"
        ) from error
