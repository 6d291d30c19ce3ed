"""Where an extraction's blocks are done, and what there may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random

import psutil

from benchmarks.kills.processes import below, by_kind, kill
from benchmarks.kills.world import World
from tests.pipeline.standing_cluster import StandingCluster, write_certificates

SLOT = "SLOT"
"""The Dask resource of which a block takes one."""
WORKERS = ("one", "two")
AT_ONCE = 2
"""Blocks that a process with a backbone on a CPU has in hand at most."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One way to extract."""

    options: list[str]
    most_in_flight: int
    """Blocks that can be in hand at a time."""
    cluster: StandingCluster | None = None


@dataclass(frozen=True, kw_only=True)
class Victim:
    """What is killed in a round."""

    kind: str
    kill: Callable[[], object]
    ends_run: bool
    """Whether the same command has to be given again."""
    weight: int = 2
    """How likely it is chosen beside others."""


@contextmanager
def one_process(world: World) -> Iterator[Place]:
    """``fouls extract --device cpu``."""
    yield Place(options=["--device", "cpu"], most_in_flight=AT_ONCE)


@contextmanager
def two_workers(world: World) -> Iterator[Place]:
    """``fouls extract --workers 2``: a Dask cluster that the run starts itself."""
    yield Place(options=["--workers", "2"], most_in_flight=2 * AT_ONCE)


@contextmanager
def standing_cluster(world: World) -> Iterator[Place]:
    """``fouls extract --scheduler …``: a Dask cluster that somebody else has started, with TLS."""
    (folder := world.path / "cluster").mkdir()
    cluster = StandingCluster(folder)
    write_certificates(folder)
    try:
        _start(cluster)
        tls = ["--tls-ca", str(folder / "ca.pem"), "--tls-cert", str(folder / "cert.pem")]
        options = ["--scheduler", str(cluster.scheduler_file), "--worker-resource", SLOT, "--device", "cpu"]
        options += [*tls, "--tls-key", str(folder / "key.pem")]
        yield Place(options=options, most_in_flight=len(WORKERS), cluster=cluster)
    finally:
        cluster.stop()


PLACES = {"one process": one_process, "two workers": two_workers, "standing cluster": standing_cluster}


def victims(place: Place, run: subprocess.Popen[bytes], chance: Random) -> list[Victim]:
    """What there is to kill now, one of each kind."""
    if place.cluster is not None:
        return [Victim(kind="client", kill=run.kill, ends_run=True), *_of_cluster(place.cluster, chance)]
    everything = partial(os.killpg, run.pid, signal.SIGKILL)
    return [
        Victim(kind="main process", kill=run.kill, ends_run=True),
        Victim(kind="all processes", kill=everything, ends_run=True),
        *_below([run.pid], chance),
    ]


def _of_cluster(cluster: StandingCluster, chance: Random) -> list[Victim]:
    def lose_worker(name: str) -> None:
        cluster.kill(name)
        cluster.start_worker(name, resource=SLOT)

    def lose_scheduler() -> None:
        cluster.kill("scheduler")

    parts = _below([cluster.processes[name].pid for name in WORKERS], chance)
    return [
        Victim(kind="scheduler", kill=lose_scheduler, ends_run=True),
        Victim(kind="worker", kill=partial(lose_worker, chance.choice(WORKERS)), ends_run=False),
        *(victim for victim in parts if victim.kind != "worker"),  # here a worker dies with all of its machine
    ]


def restore(place: Place) -> None:
    """Start a cluster again that has lost its scheduler."""
    if place.cluster is not None and "scheduler" not in place.cluster.processes:
        place.cluster.stop()
        _start(place.cluster)


def _start(cluster: StandingCluster) -> None:
    cluster.start_scheduler()
    for name in WORKERS:
        cluster.start_worker(name, resource=SLOT)


def _below(pids: list[int], chance: Random) -> list[Victim]:
    found = by_kind([process for pid in pids for process in below(pid)])
    return [
        Victim(
            kind=kind,
            kill=partial(kill, _one_of(processes, chance)),
            ends_run=False,
            weight=1 if kind == "fork server" else 4,
        )
        for kind, processes in found.items()
    ]


def _one_of(processes: list[psutil.Process], chance: Random) -> psutil.Process:
    return chance.choice(sorted(processes, key=lambda process: process.pid))
