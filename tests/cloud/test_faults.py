"""What goes wrong between fouls and an object store: tried again, said in one line, and never a wrong row."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from fouls.cache import lease
from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.layout import create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.lock import exclusive
from fouls.cache.rows import append_rows
from fouls.cache.store import open_store
from fouls.cache.verify import verify
from fouls.errors import StorageError, StoreError
from fouls.objects import client
from fouls.objects.location import location
from tests.cache.conftest import SHAPES, index, make_spec
from tests.pipeline.conftest import Project

from .conftest import Bucket
from .faulty_proxy import Choose, Fault

FAULTS: tuple[Fault, ...] = ("error_500", "throttled_503", "cut_request", "cut_answer", "slow")


def every(number: int, faults: tuple[Fault, ...] = FAULTS) -> Choose:
    """Spoils each so-many-th request, with one fault after the other."""
    requests, chosen = itertools.count(1), itertools.cycle(faults)
    return lambda method, path: next(chosen) if next(requests) % number == 0 else None


def test_an_extraction_survives_faults(bucket: Bucket, project: Project) -> None:
    project.extract()
    bucket.proxy.slow_seconds = 0.05
    bucket.proxy.choose = every(3)

    assert project.extract(out=bucket.path("videomae")).summary.done == 10
    assert verify(bucket.path("videomae")).whole

    assert min(bucket.proxy.injected[fault] for fault in FAULTS) >= 3
    np.testing.assert_array_equal(open_store(bucket.url("videomae"))["mean"][:], project.store()["mean"][:])


def test_a_slow_answer_is_not_waited_for(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.TIMEOUTS, "read_timeout", "200ms")
    client.connect.cache_clear()
    bucket.put("a", b"1")
    bucket.proxy.slow_seconds = 3
    answers = iter(["slow", None])
    bucket.proxy.choose = lambda method, path: next(answers)  # type: ignore[return-value]
    started = time.monotonic()
    assert bucket.path("a").read_bytes() == b"1"
    assert time.monotonic() - started < 2


def test_an_outage_ends_the_run_and_a_rerun_goes_on(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    committed = 0

    def down_after_two_blocks(method: str, path: str) -> Fault | None:
        nonlocal committed
        committed += method == "PUT" and "/ledger/0" in path
        return "error_500" if committed > 2 else None

    bucket.proxy.choose = down_after_two_blocks
    with pytest.raises(StorageError, match=r"can't be reached .*the same command goes on from there"):
        project.extract(out=place, block_rows=1)
    before = {key: data for key, data in bucket.tree("videomae/ledger/").items() if key.startswith("0")}
    assert len(before) == 2

    bucket.proxy.choose = lambda method, path: None
    assert project.extract(out=place, block_rows=1).summary.done == 10
    after = bucket.tree("videomae/ledger/")
    assert {key: after[key] for key in before} == before  # nothing is done twice
    assert verify(place).whole


def test_an_outage_is_no_damage(bucket: Bucket, project: Project) -> None:
    """A network that is down must never lead to a repair, or to rows that are done again."""
    place = bucket.path("videomae")
    project.extract(out=place)
    for part in ("/mean/c/", "/mean/zarr.json", "/ledger/0", "/rows/0"):
        bucket.proxy.choose = lambda method, path, part=part: "error_500" if part in path else None
        with pytest.raises(StorageError):
            verify(place)


def test_kill_9_and_go_on(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    command = [
        *(sys.executable, "-m", "fouls", "extract", "--backbone", "videomae", "--weights", str(project.weights)),
        *("--manifest", "manifests", "--out", str(place), "--block-rows", "1", "--batch-size", "1", "--device", "cpu"),
    ]
    process = subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and len(bucket.tree("videomae/ledger/0")) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = bucket.tree("videomae/")
    assert "ledger/lease" in left

    assert project.extract(out=place, block_rows=1).summary.done == 10  # its owner is dead, and everybody can see it
    after = bucket.tree("videomae/")
    records = {key for key in left if key.startswith("ledger/0")}
    assert {key: after[key] for key in records} == {key: left[key] for key in records}
    assert "ledger/lease" not in after
    assert verify(place).whole


def test_a_second_run_is_told(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    with exclusive(place), pytest.raises(StoreError, match="another `fouls extract` is filling s3://"):
        project.extract(out=place)
    assert project.extract(out=place).summary.done == 10


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The lease of a run on another machine; what happens to leases happens fast."""
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    owner = dataclasses.replace(lease.Owner.of_this_process(), host="elsewhere", machine="other", token="stranger")
    return owner.to_json(0)


def test_a_lease_elsewhere(bucket: Bucket, stranger: bytes) -> None:
    place = bucket.path("videomae")
    bucket.put("videomae/ledger/lease", stranger)
    with pytest.raises(StoreError, match="elsewhere, process"), exclusive(place):
        pass
    time.sleep(2.1)  # S3 tells time in seconds
    with exclusive(place):
        assert json.loads(bucket.tree()["videomae/ledger/lease"])["host"] != "elsewhere"


def test_a_clock_that_is_ahead_takes_nothing_over(
    bucket: Bucket, stranger: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease looks old, and is renewed while it is being watched."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", -3600.0)
    bucket.put("videomae/ledger/lease", stranger)
    requests = itertools.count()

    def renew(method: str, path: str) -> None:
        if method == "GET" and next(requests) == 1:
            bucket.put("videomae/ledger/lease", stranger + b" ")

    bucket.proxy.choose = renew
    with pytest.raises(StoreError, match="elsewhere"), exclusive(bucket.path("videomae")):
        pass


def test_a_lease_is_renewed_and_its_loss_noticed(bucket: Bucket, stranger: bytes) -> None:
    place = bucket.path("videomae")
    create_group(place, spec=make_spec(), shapes=SHAPES, block_rows=4, made_by={})
    append_rows(place, index(0, ["a"]))
    resize_arrays(place, 1)
    store = open_store(place)
    with exclusive(place):
        time.sleep(0.6)
        assert json.loads(bucket.tree()["videomae/ledger/lease"])["renewals"] >= 1
        bucket.put("videomae/ledger/lease", stranger)
        time.sleep(0.4)
        with pytest.raises(StoreError, match="taken over"):
            BlockWriter(store).commit(empty_features(store, 0), BlockRecord(block=0, done=[]))
    assert bucket.tree()["videomae/ledger/lease"] == stranger


@pytest.mark.parametrize("fault", ["cut_answer", "cut_request", "error_500"])
def test_the_lease_survives_faults(bucket: Bucket, fault: Fault) -> None:
    """Also where it was written and the answer is lost: the second try finds its own."""
    spoiled: Counter[str] = Counter()

    def once_each(method: str, path: str) -> Fault | None:
        spoiled[method] += 1
        return fault if spoiled[method] == 1 else None

    bucket.proxy.choose = once_each
    with exclusive(bucket.path("videomae")):
        lease.check_lease(bucket.path("videomae"), renew=True)
    assert bucket.tree() == {}


def forbidden(*methods: str) -> Choose:
    return lambda method, path: "forbidden" if method in methods else None


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (forbidden("GET", "PUT", "HEAD"), "is refused .*credentials"),
        (forbidden("PUT"), "is refused .*what they may do"),
    ],
    ids=["wrong credentials", "read-only"],
)
def test_a_refusal_is_said(bucket: Bucket, project: Project, choose: Choose, said: str) -> None:
    bucket.proxy.choose = choose
    with pytest.raises(StorageError, match=said):
        project.extract(out=bucket.path("videomae"))


def test_no_bucket_and_nobody_there(bucket: Bucket, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for use in (
        lambda: project.extract(out=location("s3://no-such-bucket/videomae")),
        lambda: open_store("s3://no-such-bucket/x"),
    ):
        with pytest.raises(StorageError, match="no such bucket"):
            use()
    with pytest.raises(StoreError, match="no store at s3://"):
        open_store(bucket.url("nothing"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    client.connect.cache_clear()
    with pytest.raises(StorageError, match="can't be reached"):
        open_store(bucket.url("videomae"))
