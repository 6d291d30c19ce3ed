"""Runs blocks on Dask: on worker processes that it starts here, one a GPU, or on a cluster that stands."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from fouls.errors import ExecutorError
from fouls.pipeline.engine import GROUPS_IN_FLIGHT, DoneBlock, Engine
from fouls.pipeline.executors.recipe import EngineRecipe
from fouls.pipeline.grouping import BlockGroup

PLUGIN = "fouls-engine"
SUBMITTED_AHEAD = 4
"""Groups known to the scheduler for each thread of a worker: enough never to wait, few enough to stay small."""


IGNORE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Run by every worker: Ctrl+C at a terminal reaches them too, but it is for this process, which then stops them."""


class EnginePlugin(WorkerPlugin):  # type: ignore[misc]
    """Keeps one engine a worker process: built at the first block, closed with the worker."""

    name = PLUGIN

    def __init__(self, recipe: EngineRecipe) -> None:
        self.recipe = recipe
        self._engine: Engine | None = None

    def setup(self, worker: Any) -> None:
        """Called in the worker's process."""
        self._lock = threading.Lock()

    def teardown(self, worker: Any) -> None:
        """Called in the worker's process when it closes."""
        if self._engine is not None:
            self._engine.__exit__(None, None, None)

    def engine(self) -> Engine:
        """The worker's engine."""
        with self._lock:
            if self._engine is None:
                self._engine = self.recipe.build().__enter__()
            return self._engine


def run_group(group: BlockGroup) -> list[DoneBlock]:
    """The Dask task: one block, or the blocks that share a stream or videos."""
    plugin: EnginePlugin = get_worker().plugins[PLUGIN]
    return plugin.engine().run(group)


@contextmanager
def start_cluster(*, workers: int, gpus: Sequence[str] = ()) -> Iterator[str]:
    """Start a scheduler and worker processes on this machine, reachable from this machine only.

    Args:
        workers: processes, when ``gpus`` is empty; they share the cores.
        gpus: one process for each of these devices, which sees no other (``CUDA_VISIBLE_DEVICES``).

    Yields:
        The scheduler's address.
    """
    cores = os.cpu_count() or 1
    count = len(gpus) or workers
    threads = {"OMP_NUM_THREADS": str(max(1, cores // count))}
    environments = [{**threads, "CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [threads] * count
    specs = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": GROUPS_IN_FLIGHT,
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
    with dask.config.set(settings), SpecCluster(specs, scheduler, silence_logs=logging.CRITICAL) as cluster:
        yield cluster.scheduler_address


def run_on_cluster(address: str, recipe: EngineRecipe, groups: Sequence[BlockGroup]) -> Iterator[DoneBlock]:
    """Run groups of blocks on the workers of a cluster.

    A worker that dies costs a retry of its blocks. Only some groups are handed to the scheduler at a time, so that
    neither it nor this process grows with the number of blocks.

    Yields:
        Each block, once its group is committed.

    Raises:
        ExecutorError: no cluster answers at the address, or one group has killed a worker too often.
    """
    with _connect(address) as client:
        client.register_plugin(EnginePlugin(recipe))
        waiting = iter(groups)
        threads = sum(client.nthreads().values())
        if not threads:
            raise ExecutorError(f"the cluster at {address} has no workers: start some, `dask worker {address}`")
        futures = as_completed(_submit(client, islice(waiting, SUBMITTED_AHEAD * threads)))
        for future in futures:
            try:
                yield from future.result()
            except KilledWorker as error:
                raise ExecutorError(
                    f"workers died again and again on {future.key}: if memory is short, give fewer --workers or a "
                    "smaller --batch-size; what is committed stays"
                ) from error
            futures.update(_submit(client, islice(waiting, 1)))


def _submit(client: Client, groups: Iterator[BlockGroup]) -> list[Any]:
    return [client.submit(run_group, group, key=f"blocks-{group.name}", pure=False) for group in groups]


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ExecutorError(f"no Dask scheduler answers at {address!r}: start one, or leave --scheduler out") from error
    try:
        yield client
    finally:
        client.close()
