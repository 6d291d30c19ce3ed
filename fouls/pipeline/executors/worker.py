"""What runs in the workers of a cluster: one engine for a process and run, built at its first block.

Everything here may happen twice. A worker that the scheduler has given up, because it was frozen or the network was
cut, may come back and go on with its block while another does the same: both write the chunk whole, and the record of
the one that is faster stays (see ``Filler.fill``).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from distributed import Reschedule, WorkerPlugin, get_worker

from fouls.cache.store import Store, open_store
from fouls.errors import ExecutorError, FoulsError, WeightsError
from fouls.objects.location import location
from fouls.pipeline.devices import default_decode_workers
from fouls.pipeline.engine import DoneBlock, Engine
from fouls.pipeline.executors.recipe import EngineRecipe
from fouls.pipeline.filling import standing_record
from fouls.pipeline.grouping import BlockGroup

SHELF = "fouls-engines"
IDLE_SECONDS = 60.0
"""After so long without a block an engine is closed: its run is over, or its client is dead."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A group of blocks as it is sent to a worker; what does not change during a run comes pickled once."""

    run: str
    """Which run: clients that share a cluster do not share engines."""
    recipe: bytes
    """An :class:`EngineRecipe`."""
    group: BlockGroup
    engines_a_machine: int | None
    """Workers that share a machine's cores, which decides the number of decoding processes; ``None``: as the recipe
    says."""
    check_videos: bool = True
    """Whether a video that the worker does not see stops the group; otherwise its rows fail."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What came of an order."""

    worker: str
    """Its name, machine and address."""
    blocks: list[DoneBlock]
    missing_video: str | None = None
    """A path that the worker does not see; nothing was done then."""


def run_order(pickled: bytes) -> Delivery:
    """The Dask task: do a group of blocks.

    Raises:
        FoulsError: something that stops the run; it names the worker.
        Reschedule: the worker is closing.
    """
    order: Order = pickle.loads(pickled)
    worker = worker_name()
    try:
        with _shelf().engine(order) as (engine, stores):
            group, known = _without_committed(order.group, stores)
            missing = _missing_video(group) if order.check_videos else None
            if missing is not None:
                return Delivery(worker=worker, blocks=[], missing_video=missing)
            return Delivery(worker=worker, blocks=known + engine.run(group))
    except WeightsError as error:
        raise type(error)(
            f"worker {worker}: {error}; every worker needs the weights: share the folder of the hub's downloads "
            "(HF_HOME, TORCH_HOME), or give --weights a path that all see"
        ) from error
    except FoulsError as error:
        raise type(error)(f"worker {worker}: {error}") from error
    except Exception as error:
        error.add_note(f"on worker {worker}")
        raise


def worker_name() -> str:
    """Name, machine and address of the worker that this runs in."""
    worker = get_worker()
    name = "" if worker.name == worker.address else f"{worker.name} "
    return f"{name}on {socket.gethostname()} ({worker.address})"


def _without_committed(group: BlockGroup, stores: list[Store]) -> tuple[BlockGroup, list[DoneBlock]]:
    """A group without the blocks that another worker has committed since it was planned, and their records."""
    known: list[DoneBlock] = []
    left = []
    for place, (store, jobs) in enumerate(zip(stores, group.blocks, strict=True)):
        records = [(job, standing_record(store, job)) for job in jobs]
        known += [DoneBlock(store=place, record=its, num_rows=job.num_rows) for job, its in records if its is not None]
        left.append(tuple(job for job, its in records if its is None))
    return BlockGroup(blocks=tuple(left)), known


def _missing_video(group: BlockGroup) -> str | None:
    """A file of the group that is not here. One that is nowhere costs its own rows, which the client decides."""
    paths = dict.fromkeys(video.file.path for jobs in group.blocks for job in jobs for video in job.videos)
    return next((path for path in paths if "://" not in path and not os.path.exists(path)), None)


class _RunEngine:
    """The engine of one run, while it is needed."""

    def __init__(self, order: Order) -> None:
        self._recipe: EngineRecipe = pickle.loads(order.recipe)
        if order.engines_a_machine is not None:
            device = self._recipe.members[0].backbone.device
            count = default_decode_workers(device, order.engines_a_machine)
            self._recipe = replace(self._recipe, options=replace(self._recipe.options, decode_workers=count))
        self._lock = threading.Lock()
        self._built: tuple[Engine, list[Store]] | None = None
        self.users = 0
        self.idle_since = time.monotonic()

    def build(self) -> tuple[Engine, list[Store]]:
        """The engine and its stores."""
        with self._lock:
            if self._built is None:
                stores = [_see_store(member.store) for member in self._recipe.members]
                self._built = self._recipe.build().__enter__(), stores
            return self._built

    def close(self) -> None:
        """End its decoding processes and let go of its backbones."""
        if self._built is not None:
            self._built[0].cancel()
            self._built = None


class EngineShelf(WorkerPlugin):  # type: ignore[misc]
    """The engines of a worker. A Dask plugin, so that they are closed with the worker."""

    def __init__(self) -> None:
        self._engines: dict[str, _RunEngine] = {}
        self._lock = threading.Lock()
        self._closing = False
        threading.Thread(target=self._close_idle, name="fouls-idle", daemon=True).start()

    @contextmanager
    def engine(self, order: Order) -> Iterator[tuple[Engine, list[Store]]]:
        """The engine of an order's run, and the stores that it fills.

        Raises:
            Reschedule: the worker was closed meanwhile.
        """
        with self._lock:
            if order.run not in self._engines:
                self._engines[order.run] = _RunEngine(order)
            kept = self._engines[order.run]
            kept.users += 1
        try:
            yield kept.build()
        except BaseException as error:
            if self._closing:
                raise Reschedule from error
            raise
        finally:
            with self._lock:
                kept.users -= 1
                kept.idle_since = time.monotonic()

    def teardown(self, worker: Any) -> None:
        """Called in the worker's process when it closes; blocks in flight end without a commit."""
        self._closing = True
        with self._lock:
            engines, self._engines = list(self._engines.values()), {}
        for kept in engines:
            kept.close()

    def _close_idle(self) -> None:
        while not self._closing:
            time.sleep(IDLE_SECONDS / 10)
            before = time.monotonic() - IDLE_SECONDS
            with self._lock:
                idle = [run for run, kept in self._engines.items() if not kept.users and kept.idle_since < before]
                closed = [self._engines.pop(run) for run in idle]
            for kept in closed:
                kept.close()


_making = threading.Lock()


def _shelf() -> EngineShelf:
    """The worker's; made here rather than sent, so that workers without fouls are not bothered with it."""
    multiprocessing.current_process().daemon = False  # Dask's nanny makes it one, which may have no decoding processes
    with _making:
        plugins = get_worker().plugins
        if SHELF not in plugins:
            plugins[SHELF] = EngineShelf()
        shelf: EngineShelf = plugins[SHELF]
        return shelf


def _see_store(path: str) -> Store:
    if not (location(path) / "zarr.json").exists():
        raise ExecutorError(
            f"it does not see the store {path}: mount the folder at the same path on every machine, then give the same "
            "command again"
        )
    return open_store(path)
