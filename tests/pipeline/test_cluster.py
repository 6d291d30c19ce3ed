from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Scheduler, SpecCluster

from fouls.cache.store import Store
from fouls.errors import ConfigError, ExecutorError
from fouls.pipeline.cluster_options import ClusterOptions
from fouls.pipeline.devices import default_decode_workers, place
from fouls.pipeline.extract import extract
from fouls.pipeline.options import ExecutorOptions
from fouls.pipeline.prepare import prepare

from .conftest import NUM_VIDEOS, Project
from .test_crash import children_of
from .test_extract import HOW_IT_WAS_ASKED_FOR, contents


def features(store: Store) -> dict[str, bytes]:
    """All bytes but the ledger's times and the group's record of the options."""
    return {name: data for name, data in contents(store).items() if name not in HOW_IT_WAS_ASKED_FOR}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask leaves sockets to the garbage collector
def test_two_workers_give_the_bytes_of_one_and_are_reached_from_here_alone(project: Project) -> None:
    project.extract("here", block_rows=1, batch_size=1)
    listening: set[str] = set()
    options = project.options("cluster", block_rows=1, batch_size=1, executor=ExecutorOptions(workers=2))
    report = extract(prepare(options), on_block=lambda *_: listening.update(listening_addresses()))
    assert (report.summary.done, report.summary.failed) == (NUM_VIDEOS, 0)
    assert features(project.store("cluster")) == features(project.store("here"))
    assert listening == {"127.0.0.1"}, "something can be reached from other machines"


def listening_addresses() -> set[str]:
    """Where this process and all below it listen."""
    here = psutil.Process()
    found: set[str] = set()
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections(kind="inet")
            found.update(socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN)
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_worker_that_dies_costs_a_retry(project: Project) -> None:
    """It is killed when the first block is committed; that it has begun others by then is likely, and not needed."""
    project.extract("here", block_rows=1, batch_size=1)
    killed: list[int] = []

    def kill_a_worker(*_: object) -> None:
        if not killed:
            killed.append(next(pid for pid in children_of(os.getpid()) if is_worker(pid)))
            os.kill(killed[0], signal.SIGKILL)

    options = project.options("cluster", block_rows=1, batch_size=1, executor=ExecutorOptions(workers=2))
    report = extract(prepare(options), on_block=kill_a_worker)
    assert killed
    assert (report.summary.done, report.summary.failed) == (NUM_VIDEOS, 0)
    assert features(project.store("cluster")) == features(project.store("here"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_worker_that_is_killed_while_it_starts_is_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    die = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr("fouls.pipeline.executors.cluster.IGNORE_INTERRUPTS", die)
    with pytest.raises(ExecutorError, match=r"a worker process did not start.*the same command goes on"):
        project.extract(executor=ExecutorOptions(workers=2))


def is_worker(pid: int) -> bool:
    """Whether a process was started by Dask's nanny: spawned, and not one of the trackers of multiprocessing."""
    try:
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return False
    return b"spawn_main" in command


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_cluster_without_workers_is_said(project: Project) -> None:
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    at_once = ClusterOptions(worker_wait_seconds=0)
    with SpecCluster({}, scheduler) as cluster, pytest.raises(ExecutorError, match="has no workers"):
        project.extract(executor=ExecutorOptions(scheduler=cluster.scheduler_address, cluster=at_once))


def test_no_scheduler_at_the_address(project: Project) -> None:
    told = r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(ExecutorError, match=told):
        project.extract(executor=ExecutorOptions(scheduler="tcp://127.0.0.1:9"))


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(ExecutorError, match=r"--gpus 4096: this machine has \d+ that torch can use"):
        place(ExecutorOptions(gpus=4096))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 1, "workers": 2}, "--gpus and --workers exclude each other"),
        ({"workers": 0}, "--workers is 0; it must be 1 or more"),
        ({"gpus": -1}, "--gpus is -1; it must be 0 or more"),
    ],
)
def test_options_that_contradict(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExecutorOptions(**options)


@pytest.mark.parametrize("device", ["tpu", "cuda:4096", "nonsense:1"])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(ExecutorError, match=r"--device"):
        place(ExecutorOptions(device=device))


def test_gpus_zero_and_one_worker_stay_in_this_process() -> None:
    assert not place(ExecutorOptions(gpus=0)).on_cluster
    assert not place(ExecutorOptions(workers=1)).on_cluster
    assert place(ExecutorOptions(workers=3)).workers == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_decoding_has_the_cores_that_a_job_was_given() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert [default_decode_workers(device, engines=1) for device in ("cpu", "cuda")] == [1, 1]
    finally:
        os.sched_setaffinity(0, allowed)
    assert default_decode_workers("cuda", engines=1) == max(1, len(allowed) - 1)
