"""The client's side of a cluster: hands groups of blocks to the scheduler, and watches over what becomes of them."""

from __future__ import annotations

import json
import os
import pickle
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Client
from distributed.scheduler import KilledWorker
from distributed.security import Security

from fouls import __version__
from fouls.cache.ledger import record_path
from fouls.errors import ExecutorError, first_line
from fouls.objects.location import location
from fouls.pipeline.cluster_options import ClusterOptions
from fouls.pipeline.engine import DoneBlock
from fouls.pipeline.executors.recipe import EngineRecipe
from fouls.pipeline.executors.worker import Delivery, Order
from fouls.pipeline.grouping import BlockGroup

SUBMITTED_AHEAD = 4
"""Groups known to the scheduler for each that can run: enough never to wait, few enough to stay small."""
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""How often the workers are counted."""
SIGHT_SECONDS = 120.0
"""By then what another machine has written must be seen here; network drives keep what they know of a folder for a
minute."""
GOES_ON = "what is committed stays, and the same command goes on from there"


def run_on_cluster(
    address: str,
    recipe: EngineRecipe,
    groups: Iterable[BlockGroup],
    options: ClusterOptions | None = None,
    *,
    share_cores: bool = False,
) -> Iterator[DoneBlock]:
    """Run groups of blocks on the workers of a cluster.

    Workers may come and go: what one leaves undone another does. Only some groups are handed to the scheduler at a
    time, so that neither it nor this process grows with the number of blocks.

    Args:
        address: of the scheduler, or its ``--scheduler-file``.
        recipe: what the workers build.
        groups: see :func:`fouls.pipeline.grouping.group_blocks`.
        options: how the cluster is joined.
        share_cores: whether the workers of a machine divide its cores among them for decoding, whatever the recipe
            says.

    Yields:
        Each block, once its group is committed.

    Raises:
        ExecutorError: no cluster answers, it has no workers, a worker does not fit, the scheduler has gone, or one
            group has killed workers too often.
        WeightsError: a worker does not have the weights.
    """
    options = options or ClusterOptions()
    with _connect(address, options) as client:
        yield from _Run(client, address, recipe, options, share_cores=share_cores).run(groups)


class _Run:
    """One call of :func:`run_on_cluster`."""

    def __init__(
        self, client: Client, address: str, recipe: EngineRecipe, options: ClusterOptions, *, share_cores: bool
    ) -> None:
        self._client = client
        self._address = address
        self._options = options
        self._share_cores = share_cores
        self._stores = [location(member.store) for member in recipe.members]
        self._recipe = pickle.dumps(recipe)
        self._name = uuid.uuid4().hex  # other clients' groups have the same numbers
        self._task = _make_task()
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._orders: dict[str, tuple[Order, Any]] = {}
        """Key → what was submitted, and its future."""
        self._places = 0
        self._looked = self._had_workers = time.monotonic()
        self._engines_a_machine = 1
        self._to_see: dict[str, tuple[DoneBlock, float]] = {}
        self._seen: set[str] = set()

    def run(self, groups: Iterable[BlockGroup]) -> Iterator[DoneBlock]:
        """Do all groups."""
        self._count_places()
        waiting = iter(groups)
        more = True
        while True:
            while more and len(self._orders) < SUBMITTED_AHEAD * max(1, self._places):
                group = next(waiting, None)
                more = group is not None
                if group is not None:
                    self._submit(self._order(group))
            if not self._orders:
                break
            try:
                future = self._ended.get(timeout=LOOK_SECONDS)
            except Empty:
                pass
            else:
                yield from self._take(future)
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._count_places()
                self._look_for_records()
        while self._to_see:
            self._look_for_records()
            time.sleep(0.1)

    def _order(self, group: BlockGroup) -> Order:
        engines = self._engines_a_machine if self._share_cores else None
        return Order(run=self._name, recipe=self._recipe, group=group, engines_a_machine=engines)

    def _submit(self, order: Order) -> None:
        attempt = "" if order.check_videos else "-again"
        key = f"fouls-{self._name}-{order.group.name}{attempt}"
        resource = self._options.worker_resource
        resources = {resource: 1} if resource else None
        future = self._client.submit(
            self._task, __version__, pickle.dumps(order), key=key, pure=False, resources=resources
        )
        self._orders[key] = order, future
        future.add_done_callback(self._ended.put)

    def _take(self, future: Any) -> Iterator[DoneBlock]:
        order, _ = self._orders.pop(future.key)
        if future.status == "cancelled":
            raise self._lost()
        try:
            delivery: Delivery | str = future.result()
        except KilledWorker as error:
            raise ExecutorError(
                f"workers died again and again on {order.group.name}: if memory is short, give fewer --workers or a "
                "smaller --batch-size; where machines are taken away all the time, give the scheduler "
                f"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=100; {GOES_ON}"
            ) from error
        if isinstance(delivery, str):
            raise ExecutorError(delivery)
        if delivery.missing_video is not None:
            self._refuse_or_retry(order, delivery.worker, delivery.missing_video)
            return
        if delivery.blocks and delivery.worker not in self._seen:
            self._seen.add(delivery.worker)
            self._to_see[delivery.worker] = delivery.blocks[0], time.monotonic() + SIGHT_SECONDS
        yield from delivery.blocks

    def _refuse_or_retry(self, order: Order, worker: str, path: str) -> None:
        if os.path.exists(path):
            raise ExecutorError(
                f"worker {worker} does not see the video {path}, which is there on this machine: mount its folder at "
                f"the same path on every machine; {GOES_ON}"
            )
        self._submit(replace(order, check_videos=False))  # it is nowhere: its rows fail

    def _count_places(self) -> None:
        """How many groups can run at a time.

        Raises:
            ExecutorError: for too long none, or the scheduler does not answer.
        """
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except (OSError, RuntimeError) as error:
            raise self._lost() from error
        resource = self._options.worker_resource
        fit = [worker for worker in workers if resource is None or worker["resources"].get(resource, 0) >= 1]
        self._places = sum(int(worker["resources"][resource]) if resource else worker["nthreads"] for worker in fit)
        self._engines_a_machine = max(Counter(worker["host"] for worker in fit).values(), default=1)
        self._looked = time.monotonic()
        if self._places:
            self._had_workers = self._looked
        elif self._looked - self._had_workers >= self._options.worker_wait_seconds:
            raise self._no_workers(len(workers))

    def _no_workers(self, others: int) -> ExecutorError:
        resource = self._options.worker_resource
        need, start = "workers", f"dask worker {self._address}"
        if resource:
            need, start = f"workers with the resource {resource}", f"{start} --resources {resource}=1"
            need += f" among its {others}" if others else ""
        return ExecutorError(
            f"the cluster at {self._address} has no {need} for {self._options.worker_wait_seconds:g} s: start some, "
            f"`{start} --nthreads 2`, or wait longer with --worker-wait; {GOES_ON}"
        )

    def _lost(self) -> ExecutorError:
        return ExecutorError(
            f"the Dask scheduler at {self._address} has gone, or has dropped this run: start it and its workers; "
            f"{GOES_ON}"
        )

    def _look_for_records(self) -> None:
        """Look for the first record of each worker: where each has a folder of its own, nobody would have a store.

        Raises:
            ExecutorError: one is not here.
        """
        for worker, (done, deadline) in list(self._to_see.items()):
            store = self._stores[done.store]
            if record_path(store, done.record.block).exists():
                del self._to_see[worker]
            elif time.monotonic() > deadline:
                raise ExecutorError(
                    f"worker {worker} has written block {done.record.block} to {store}, and it is not there on this "
                    "machine: the folder must be the same one on every machine, shared and not copied"
                )


def _make_task() -> Callable[[str, bytes], Any]:
    """The function that is submitted. Being inside another it is sent by value: the scheduler, which unpickles it too,
    needs no fouls, and a worker without fouls can say so."""

    def fouls_blocks(version: str, order: bytes) -> Any:
        from distributed import get_worker

        where = f"worker {get_worker().name} ({get_worker().address})"
        try:
            import fouls
        except ImportError:
            return f"{where} has no fouls: install fouls {version} where `dask worker` runs"
        if fouls.__version__ != version:
            return f"{where} has fouls {fouls.__version__}, this machine has {version}: install the same everywhere"
        from fouls.pipeline.executors.worker import run_order

        return run_order(order)

    return fouls_blocks


@contextmanager
def _connect(address: str, options: ClusterOptions) -> Iterator[Client]:
    security = None
    if options.tls_ca is not None:
        security = Security(
            tls_ca_file=str(options.tls_ca),
            tls_client_cert=str(options.tls_cert),
            tls_client_key=str(options.tls_key or options.tls_cert),
            require_encryption=True,
        )
    timeout = min(CONNECT_SECONDS, parse_timedelta(dask.config.get("distributed.comm.timeouts.connect")))
    try:
        client = Client(_resolve(address), timeout=timeout, security=security)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        secure = address.startswith("tls://")
        advice = "check --tls-ca, --tls-cert and --tls-key" if secure else "start one, or leave --scheduler out"
        raise ExecutorError(f"no Dask scheduler answers at {address!r} ({first_line(error)}): {advice}") from error
    try:
        yield client
    finally:
        client.close()


def _resolve(address: str) -> str:
    """The address that a ``--scheduler-file`` has."""
    if not address.endswith(".json"):
        return address
    found: str = json.loads(Path(address).read_text())["address"]
    return found
