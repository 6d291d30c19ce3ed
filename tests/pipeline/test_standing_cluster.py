"""A cluster that somebody else started: joined with TLS, its workers and scheduler dying, workers that do not fit."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import pytest
import torch
from distributed import Reschedule

from fouls.cache.store import open_store
from fouls.cache.verify import verify
from fouls.errors import ConfigError, ExecutorError, WeightsError
from fouls.pipeline.cluster_options import ClusterOptions
from fouls.pipeline.engine import Engine, EngineOptions, Member
from fouls.pipeline.executors.client import run_on_cluster
from fouls.pipeline.executors.recipe import EngineRecipe, MemberRecipe
from fouls.pipeline.executors.worker import EngineShelf, Order
from fouls.pipeline.extract import extract
from fouls.pipeline.grouping import BlockGroup
from fouls.pipeline.jobs import BlockJob
from fouls.pipeline.options import ExecutorOptions
from fouls.pipeline.prepare import Prepared, prepare
from fouls.pipeline.work import find_work

from .backbones.checkpoints import tiny_checkpoint
from .conftest import NUM_VIDEOS, Project, status_of
from .standing_cluster import OLDER_FOULS, WITHOUT_FOULS, StandingCluster, write_certificates
from .test_cluster import features
from .test_crash import wait_for_records

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Dask leaves sockets to the garbage collector
    pytest.mark.skipif(not Path("/proc").exists(), reason="processes are killed by their group"),
]
SMALL: dict[str, Any] = {"block_rows": 1, "batch_size": 1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingCluster]:
    """A scheduler, a worker that can do blocks, one without fouls and one with another version of it."""
    made = StandingCluster(tmp_path_factory.mktemp("cluster"))
    write_certificates(made.path)
    try:
        made.start_scheduler()
        made.start_worker("whole", resource="SLOT")
        made.start_worker("bare", resource="BARE", before=WITHOUT_FOULS)
        made.start_worker("older", resource="OLD", before=OLDER_FOULS)
        yield made
    finally:
        made.stop()


def test_two_runs_share_a_cluster_and_blocks_go_to_workers_with_the_resource(
    project: Project, cluster: StandingCluster, tmp_path: Path
) -> None:
    """The workers without the resource can't do blocks: had they been given one, the run would have stopped."""
    other = str(tiny_checkpoint(tmp_path / "other", num_frames=4))
    by_file = replace(cluster.executor("SLOT"), scheduler=str(cluster.scheduler_file))
    (project.videos / "v3.mp4").unlink()  # it is nowhere: that costs its own row
    runs = {
        "a": prepare(project.options("a", **SMALL, executor=cluster.executor("SLOT"))),
        "b": prepare(project.options("b", **SMALL, weights=other, executor=by_file)),
    }
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(extract, runs.values()))
    assert [(report.summary.done, report.summary.failed) for report in reports] == [(NUM_VIDEOS - 1, 1)] * 2
    for name, weights in (("a", str(project.weights)), ("b", other)):
        project.extract(f"{name}-alone", **SMALL, weights=weights)
        assert features(project.store(name)) == features(project.store(f"{name}-alone"))
    assert status_of(project.store("a"))["v3"] == ["failed"]


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("BARE", r"worker bare \(tls://.*\) has no fouls: install fouls 0\."),
        ("OLD", r"worker older \(tls://.*\) has fouls 0\.0\.1, this machine has .*: install the same everywhere"),
        ("GPU", r"no workers with the resource GPU among its \d .*--resources GPU=1 --nthreads 2"),
    ],
)
def test_workers_that_do_not_fit_are_named(
    project: Project, cluster: StandingCluster, resource: str, message: str
) -> None:
    wait = 0.0 if resource == "GPU" else 60.0
    with pytest.raises(ExecutorError, match=message):
        project.extract(executor=cluster.executor(resource, wait))


def test_a_worker_without_the_weights_is_named(project: Project, cluster: StandingCluster, tmp_path: Path) -> None:
    weights = shutil.copytree(project.weights, tmp_path / "copy")
    prepared = prepare(project.options(weights=str(weights), executor=cluster.executor("SLOT")))
    shutil.rmtree(weights)
    with pytest.raises(WeightsError, match=r"worker whole on .*copy.*every worker needs the weights"):
        extract(prepared)


def test_paths_that_a_worker_does_not_see(
    project: Project, cluster: StandingCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below ``/proc/self/cwd`` every process sees another folder, as machines do that share nothing."""
    monkeypatch.chdir(project.path)
    prepared, job = planned(project, executor=cluster.executor("SLOT"))
    store, video = project.path / "cache" / "videomae", Path(job.videos[0].file.path)

    def run(store: Path, video: Path) -> None:
        member = MemberRecipe(store=str(store), backbone=prepared.recipe, batch_size=1)
        recipe = EngineRecipe(members=(member,), options=EngineOptions())
        there = replace(job.videos[0], file=replace(job.videos[0].file, path=str(video)))
        group = one_group(replace(job, videos=(there,)))
        list(run_on_cluster(cluster.address, recipe, [group], prepared.options.executor.cluster))

    here = Path("/proc/self/cwd")
    with pytest.raises(ExecutorError, match=r"worker whole on .* does not see the store /proc/self/cwd/cache/videomae"):
        run(here / "cache" / "videomae", video)
    with pytest.raises(ExecutorError, match=r"worker whole on .* does not see the video /proc/self/cwd/videos/v0"):
        run(store, here / "videos" / video.name)
    shutil.copytree(store, cluster.elsewhere / "cache" / "videomae")
    monkeypatch.setattr("fouls.pipeline.executors.client.SIGHT_SECONDS", 0.0)
    with pytest.raises(ExecutorError, match=r"worker whole on .* has written block 0 .* shared and not copied"):
        run(here / "cache" / "videomae", video)


def test_workers_come_and_go_while_a_run_goes_on(project: Project, cluster: StandingCluster) -> None:
    """The only worker is lost after the first block, and another joins: no block that was committed is done again."""
    project.extract("here", **SMALL)
    ledger = project.path / "cache" / "videomae" / "ledger"
    before: dict[Path, bytes] = {}

    def replace_worker(*_: object) -> None:
        if not before:
            cluster.kill("whole")
            before.update({path: path.read_bytes() for path in ledger.glob("0*.json")})
            cluster.start_worker("whole", resource="SLOT")

    report = extract(prepare(project.options(**SMALL, executor=cluster.executor("SLOT"))), on_block=replace_worker)
    assert (report.summary.done, report.summary.failed) == (NUM_VIDEOS, 0)
    assert 0 < len(before) < NUM_VIDEOS
    assert {path: path.read_bytes() for path in before} == before
    assert features(project.store()) == features(project.store("here"))


def test_the_client_dies_and_the_same_command_goes_on(project: Project, cluster: StandingCluster) -> None:
    options = [
        *("--backbone", "videomae", "--weights", str(project.weights), "--block-rows", "1", "--batch-size", "1"),
        *("--scheduler", cluster.address, "--worker-resource", "SLOT", "--tls-ca", str(cluster.path / "ca.pem")),
        *("--tls-cert", str(cluster.path / "cert.pem"), "--tls-key", str(cluster.path / "key.pem")),
    ]
    with (project.path / "log").open("wb") as log:
        client = subprocess.Popen(
            [sys.executable, "-m", "fouls", "extract", *options], cwd=project.path, stdout=log, stderr=log
        )
        wait_for_records(project.path / "cache" / "videomae", client, at_least=1)
        client.send_signal(signal.SIGKILL)
        client.wait()
    report = project.extract(**SMALL, executor=cluster.executor("SLOT"))
    assert report.summary.done == NUM_VIDEOS
    project.extract("here", **SMALL)
    assert features(project.store()) == features(project.store("here"))


@pytest.mark.parametrize(
    "security",
    [{}, {"tls_ca": "ca.pem", "tls_cert": "cert.pem", "tls_key": "key.pem"}],
    ids=["no certificate", "one of another authority"],
)
def test_strangers_are_refused(
    project: Project, cluster: StandingCluster, tmp_path: Path, security: dict[str, str]
) -> None:
    write_certificates(tmp_path)
    options = ClusterOptions(**{name: tmp_path / file for name, file in security.items()}) if security else None
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ExecutorError, match=r"no Dask scheduler answers at 'tls://.*check --tls-ca, --tls-cert"),
    ):
        project.extract(executor=ExecutorOptions(scheduler=cluster.address, cluster=options))


def test_dasks_own_configuration_has_certificates_too(project: Project, cluster: StandingCluster) -> None:
    files = {"ca-file": "ca.pem", "client.cert": "cert.pem", "client.key": "key.pem"}
    configuration = {f"distributed.comm.tls.{key}": str(cluster.path / file) for key, file in files.items()}
    options = ClusterOptions(worker_resource="SLOT")
    with dask.config.set(configuration):
        report = project.extract(limit=1, executor=ExecutorOptions(scheduler=cluster.address, cluster=options))
    assert report.summary.done == 1


def test_the_scheduler_dies_and_the_run_goes_on_without_it(project: Project, cluster: StandingCluster) -> None:
    """Last: the cluster is gone then."""
    prepared = prepare(project.options(**SMALL, executor=cluster.executor("SLOT")))
    with pytest.raises(ExecutorError, match=r"the Dask scheduler at tls://.* has gone, .* the same command goes on"):
        extract(prepared, on_block=lambda *_: "scheduler" in cluster.processes and cluster.kill("scheduler"))
    done = [record.block for record in project.store().ledger()]
    assert 0 < len(done) < NUM_VIDEOS
    project.extract(**SMALL)
    project.extract("here", **SMALL)
    assert features(project.store()) == features(project.store("here"))


def test_the_first_record_of_a_block_stays_whatever_a_late_worker_finds(project: Project) -> None:
    """A worker that was given up comes back when its block is done. Here decoding takes it too long."""
    prepared, job = planned(project)
    project.extract("reference", limit=1, block_rows=1)
    with engine(prepared, timeout_seconds=120.0) as fast, engine(prepared, timeout_seconds=1e-6) as slow:
        (first,) = fast.run(one_group(job))
        after_first = features(project.store())
        (late,) = slow.run(one_group(job))
    assert first.record.done == [[0, 1]]
    assert late.record == first.record
    assert features(project.store()) == after_first == features(project.store("reference"))
    assert verify(project.store()).whole


def test_two_workers_on_one_block_at_once(project: Project) -> None:
    prepared, job = planned(project)
    project.extract("reference", limit=1, block_rows=1)
    with engine(prepared) as one, engine(prepared) as other, ThreadPoolExecutor(2) as threads:
        for _ in range(10):
            (project.path / "cache" / "videomae" / "ledger" / "00000000.json").unlink(missing_ok=True)
            both = [threads.submit(each.run, one_group(job)) for each in (one, other)]
            assert [done.record.done for future in both for done in future.result()] == [[[0, 1]]] * 2
            assert verify(project.store()).whole
            assert features(project.store()) == features(project.store("reference"))


def test_an_engine_is_closed_when_its_run_is_over_or_its_worker_ends(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fouls.pipeline.executors.worker.IDLE_SECONDS", 0.1)
    prepared, job = planned(project)
    member = MemberRecipe(store=str(project.store().path), backbone=prepared.recipe, batch_size=1)
    recipe = pickle.dumps(EngineRecipe(members=(member,), options=EngineOptions(decode_workers=1)))
    order = Order(run="a", recipe=recipe, group=one_group(job), engines_a_machine=None)
    shelf = EngineShelf()
    with shelf.engine(order) as (engine, _):
        time.sleep(0.3)  # in use: it stays
        assert [done.record.done for done in engine.run(order.group)] == [[[0, 1]]]
    with shelf.engine(replace(order, run="b")) as (other, _):
        assert other is not engine
        time.sleep(0.5)
        with pytest.raises(RuntimeError, match="the pool is closed"):
            engine.run(order.group)

    def end_in_the_middle() -> None:
        with shelf.engine(replace(order, run="c")) as (ending, _):
            shelf.teardown(None)
            ending.run(order.group)

    with pytest.raises(Reschedule):
        end_in_the_middle()


def planned(project: Project, **changes: Any) -> tuple[Prepared, BlockJob]:
    """An extraction of the first video, and its one block, as if nobody had done it yet."""
    prepared = prepare(project.options(limit=1, block_rows=1, **changes))
    extract(prepared)
    record = project.path / "cache" / "videomae" / "ledger" / "00000000.json"
    record.unlink()
    return prepared, find_work(project.store(), prepared.manifest, retry=None).job(0)


def one_group(job: BlockJob) -> BlockGroup:
    return BlockGroup(blocks=((job,),))


def engine(prepared: Prepared, timeout_seconds: float = 120.0) -> Engine:
    member = Member(store=open_store(prepared.options.store), backbone=prepared.backbone, batch_size=1)
    return Engine([member], EngineOptions(decode_timeout_seconds=timeout_seconds))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": None, "cluster": {"worker_resource": "GPU"}}, "belong to --scheduler"),
        ({"scheduler": "tcp://127.0.0.1:9", "cluster": {"tls_ca": "a", "tls_cert": "a"}}, "it must be tls://HOST:PORT"),
        ({"scheduler": "tls://127.0.0.1:9", "cluster": {"tls_cert": "a"}}, "--tls-ca and --tls-cert belong together"),
        ({"scheduler": "tls://127.0.0.1:9", "cluster": {"tls_ca": "b", "tls_cert": "a"}}, "--tls-ca: no file"),
        ({"scheduler": "tcp://127.0.0.1:9", "cluster": {"worker_resource": "GPU=1"}}, "must be a name, such as GPU"),
        ({"scheduler": "tcp://127.0.0.1:9", "cluster": {"worker_wait_seconds": -1.0}}, "must be 0 or more seconds"),
    ],
)
def test_options_that_can_not_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "a").touch()
    cluster = {k: tmp_path / v if k.startswith("tls") else v for k, v in options["cluster"].items()}
    with pytest.raises(ConfigError, match=message):
        ExecutorOptions(scheduler=options["scheduler"], cluster=ClusterOptions(**cluster))


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_a_machine_without_a_gpu_does_not_guess_the_precision(project: Project) -> None:
    with pytest.raises(ConfigError, match="add --precision bf16"):
        prepare(project.options(executor=ExecutorOptions(scheduler="tcp://127.0.0.1:9", device="cuda")))
    prepared = prepare(
        project.options(executor=ExecutorOptions(scheduler="tcp://127.0.0.1:9", device="cuda"), precision="bf16")
    )
    assert (prepared.recipe.device, prepared.recipe.precision) == ("cuda", "bf16")
