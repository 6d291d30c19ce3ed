"""A store on S3 is the store on a disk: the same arrays, index and ledger, the same rules."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fouls.cache.repair import repair
from fouls.cache.store import open_store
from fouls.cache.summary import summarise
from fouls.cache.verify import verify
from fouls.cli import app
from fouls.errors import ConfigError, RunError
from fouls.objects.client import connect
from tests.heads.worlds import blobs, write_world
from tests.pipeline.conftest import Project

from .conftest import Bucket


def test_it_is_that_of_a_disk(bucket: Bucket, project: Project) -> None:
    here = project.extract()
    there = project.extract(out=bucket.path("cache/videomae"))

    assert there.summary.done == here.summary.done == 10
    assert there.summary.bytes == sum(map(len, bucket.tree("cache/videomae/").values()))
    ours, theirs = project.store(), open_store(bucket.url("cache/videomae"))
    assert theirs.fingerprint == ours.fingerprint
    assert theirs.rows().equals(ours.rows())
    for pool in ours.pools:
        np.testing.assert_array_equal(np.asarray(theirs[pool]), np.asarray(ours[pool]))
    chunks = bucket.tree("cache/videomae/mean/c/")
    local = project.path / "cache" / "videomae" / "mean" / "c"
    assert chunks == {
        file.relative_to(local).as_posix(): file.read_bytes() for file in local.rglob("*") if file.is_file()
    }
    report = verify(theirs)
    assert report.whole
    assert not report.findings
    assert "ledger/lease" not in bucket.tree("cache/videomae/")


def test_running_twice_changes_nothing(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    project.extract(out=place)
    before = bucket.tree()

    bucket.proxy.requests.clear()
    again = project.extract(out=place)

    assert again.new_rows == 0
    assert again.summary == summarise(open_store(place))
    assert bucket.tree() == before
    assert bucket.proxy.requests["PUT"] == 1  # the lease


def test_new_videos_are_added(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    project.extract(out=place, limit=6)
    before = bucket.tree()

    assert project.extract(out=place).summary.done == 10

    after = bucket.tree()
    records = {key for key in before if key.startswith("videomae/ledger/0")}
    assert {key: json.loads(after[key]) for key in records} == {key: json.loads(before[key]) for key in records}


def test_a_damaged_chunk_is_mended(bucket: Bucket, project: Project) -> None:
    place = bucket.path("videomae")
    project.extract(out=place)
    whole = bucket.tree("videomae/mean/")
    bucket.put("videomae/mean/c/1/0", whole["c/1/0"][:-1] + bytes([whole["c/1/0"][-1] ^ 1]))

    report = verify(place)
    assert [(finding.kind, finding.block) for finding in report.findings] == [("chunk", 1)]
    assert repair(place).report.whole
    assert summarise(open_store(place)).todo == 4
    assert project.extract(out=place).summary.done == 10
    mended = bucket.tree("videomae/mean/")
    assert mended.pop("c/1/0.1.broken")
    assert mended == whole


def test_a_late_put_that_shortens_an_array_is_found_and_mended(bucket: Bucket, project: Project) -> None:
    """A PUT that was given up as too slow, and that something on the way lets through after a later one."""
    place = bucket.path("videomae")
    project.extract(out=place, limit=4)
    late = bucket.tree("videomae/mean/zarr.json")[""]
    project.extract(out=place)
    before, chunks = np.asarray(open_store(place)["mean"]), bucket.tree("videomae/mean/c/")

    bucket.put("videomae/mean/zarr.json", late)
    report = verify(place)
    assert ("length", "mean/zarr.json") in {(finding.kind, finding.where) for finding in report.findings}
    assert not report.whole
    assert repair(place).report.whole
    np.testing.assert_array_equal(np.asarray(open_store(place)["mean"]), before)

    bucket.put("videomae/mean/zarr.json", late)
    assert project.extract(out=place).summary.done == 10  # gives the array its length before anything else
    np.testing.assert_array_equal(np.asarray(open_store(place)["mean"]), before)
    assert verify(place).whole
    assert bucket.tree("videomae/mean/c/") == chunks


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    connect.cache_clear()
    with pytest.raises(ConfigError, match=re.escape("pip install 'fouls[cloud]'")):
        open_store("s3://bucket/videomae")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://host/store", "ftp://host/store", "s3://", "s3://b/../c"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed|no such place"):
        open_store(url)


def test_a_head_is_trained_from_it(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features and manifest at URLs give the run that the same files on a disk give."""
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path, blobs({"train": 30, "valid": 9, "test": 9}))
    bucket.upload(tmp_path / "cache", "cache")
    bucket.upload(tmp_path / "manifests", "manifests")
    remote = ["--features", bucket.url("cache/videomae"), "--manifest", bucket.url("manifests")]

    def metrics(command: str, *words: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, [command, *words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    shared = ["--pool", "temporal", "--epochs", "2"]
    here = metrics("train-head", *shared, "--features", "cache/videomae", "--name", "here")
    there = metrics("train-head", *shared, *remote, "--name", "there")
    assert here.pop("run") != there.pop("run")
    assert {**there, "seconds": None} == {**here, "seconds": None}

    with pytest.raises(RunError, match=f"--features s3://{bucket.name}"):  # a run may be anybody's
        metrics("evaluate", "runs/there")


def test_credentials_of_a_profile(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys in the environment it is boto3 that finds them; without any that is said, at once."""
    bucket.put("a", b"1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    connect.cache_clear()
    with pytest.raises(ConfigError, match="no credentials for s3://"):
        bucket.path("a").read_bytes()
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = me\naws_secret_access_key = secret\n")
    assert bucket.path("a").read_bytes() == b"1"
