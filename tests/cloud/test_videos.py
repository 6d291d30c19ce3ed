"""Videos at URLs: probed, downloaded within a bound, and noticed when they change."""

from __future__ import annotations

import csv
import hashlib
import os
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fouls.cache.failures import failures
from fouls.cache.store import open_store
from fouls.errors import ConfigError, VideoError
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.probing import ProbingOptions
from fouls.manifests.table import read_manifest
from fouls.objects.paths import ObjectFacts
from fouls.pipeline.prepare import prepare
from fouls.video.downloads import Downloads
from tests.pipeline.conftest import Project

from .conftest import Bucket


def get(downloads: Downloads, url: str, facts: ObjectFacts | None = None, content_hash: str | None = None) -> Path:
    """Where a video lies after it was used."""
    with downloads.fetched(url, facts or downloads.facts(url), content_hash) as path:
        return path


def test_manifest_videos_and_store_on_s3(bucket: Bucket, project: Project, tmp_path: Path) -> None:
    """From a table of URLs to a store at a URL, with the same features as from the files."""
    project.extract()
    bucket.upload(project.videos, "videos")
    with (tmp_path / "urls.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "video_id"])
        writer.writerows([bucket.url(f"videos/v{number}.mp4"), f"v{number}"] for number in range(10))
    downloads = Downloads(allowed=(bucket.url("videos"),), folder=tmp_path / "downloaded")
    listing = list_videos("csv", BuildOptions(sources=(tmp_path / "urls.csv",)))

    probing = ProbingOptions(workers=1, downloads=downloads)
    report = build_manifest(listing, tmp_path / "remote.parquet", probing)
    assert (report.num_probed, report.failures) == (10, ())
    here, there = read_manifest(project.path / "manifests"), read_manifest(tmp_path / "remote.parquet")
    for column in ("video_id", "num_frames", "fps", "content_hash", "size_bytes", "codec", "probe_error"):
        assert there[column].to_pylist() == here[column].to_pylist(), column
    assert build_manifest(listing, tmp_path / "remote.parquet", probing).num_reused == 10

    bucket.put("manifests/remote.parquet", (tmp_path / "remote.parquet").read_bytes())
    urls = {"manifest": bucket.path("manifests"), "out": bucket.path("cache/videomae")}
    with pytest.raises(ConfigError, match=f"--allow-urls s3://{bucket.name}"):
        project.extract(**urls)
    assert project.extract(**urls, downloads=downloads).summary.done == 10
    store = open_store(bucket.url("cache/videomae"))
    assert (store["mean"][:] == project.store()["mean"][:]).all()

    bucket.put("videos/v3.mp4", (project.videos / "v4.mp4").read_bytes())
    bucket.boto.delete_object(Bucket=bucket.name, Key="videos/v5.mp4")
    again = project.extract(**{**urls, "out": tmp_path / "again"}, downloads=downloads)
    codes = {failure["video_id"]: failure["code"] for failure in failures(open_store(tmp_path / "again")).to_pylist()}
    assert codes == {"v3": "changed", "v5": "unreadable"}
    assert again.summary.done == 8


def test_a_changed_object_is_noticed(bucket: Bucket, tmp_path: Path) -> None:
    """Of the same length: only its version tells, and then its hash."""
    bucket.put("a.mp4", b"one")
    downloads = Downloads(allowed=(bucket.url("a.mp4"),), folder=tmp_path)
    url = bucket.url("a.mp4")
    facts = downloads.facts(url)
    with downloads.fetched(url, facts, hashlib.sha256(b"one").hexdigest()) as path:
        assert path.read_bytes() == b"one"
        assert path.suffix == ".mp4"
    bucket.put("a.mp4", b"two")
    path.unlink()
    with pytest.raises(VideoError, match="changed while"):
        get(downloads, url, facts)
    with pytest.raises(VideoError, match="since it was probed") as caught:
        get(downloads, url, content_hash=hashlib.sha256(b"one").hexdigest())
    assert caught.value.code == "changed"


def test_the_folder_stays_within_its_bound(bucket: Bucket, tmp_path: Path) -> None:
    """What is in use stays; of the rest the one that was used longest ago goes."""
    for name in "abcd":
        bucket.put(f"{name}.mp4", name.encode() * 100)
    downloads = Downloads(allowed=(f"s3://{bucket.name}",), folder=tmp_path, max_bytes=300)

    first, second, third = (get(downloads, bucket.url(f"{name}.mp4")) for name in "abc")
    for age, path in ((30, first), (20, second), (10, third)):
        os.utime(path, (time.time() - age, time.time() - age))
    assert get(downloads, bucket.url("a.mp4")) == first  # used again
    get(downloads, bucket.url("d.mp4"))
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)

    bucket.put("all.mp4", b"x" * 300)
    url = bucket.url("all.mp4")
    entered = threading.Event()

    def take_all() -> None:
        with downloads.fetched(url, downloads.facts(url)):
            entered.set()

    with downloads.fetched(bucket.url("a.mp4"), downloads.facts(bucket.url("a.mp4"))) as held:
        waiting = threading.Thread(target=take_all)
        waiting.start()
        assert not entered.wait(0.5)
        assert held.read_bytes() == b"a" * 100
    assert entered.wait(10)
    waiting.join()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == 300
    with pytest.raises(VideoError, match="--video-cache-bytes"):
        get(Downloads(allowed=downloads.allowed, folder=tmp_path, max_bytes=299), url)


def test_many_at_once_download_once(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.mp4", b"frames" * 1000)
    downloads = Downloads(allowed=(f"s3://{bucket.name}",), folder=tmp_path)
    url = bucket.url("a.mp4")
    facts = downloads.facts(url)
    bucket.proxy.slow_seconds = 0.2
    bucket.proxy.choose = lambda method, path: "slow" if method == "GET" else None
    contents: list[bytes] = []

    def get() -> None:
        with downloads.fetched(url, facts) as path:
            contents.append(path.read_bytes())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [b"frames" * 1000] * 8
    assert bucket.proxy.requests["GET"] == 1


def test_a_download_that_died_counts_for_nothing(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.mp4", b"whole")
    downloads = Downloads(allowed=(f"s3://{bucket.name}",), folder=tmp_path, max_bytes=5)
    url = bucket.url("a.mp4")
    with downloads.fetched(url, downloads.facts(url)) as path:
        pass
    path.rename(path.with_name(path.name + ".partial"))
    path.with_name(path.name + ".partial").write_bytes(b"who\0\0")
    (tmp_path / "another.mp4.partial").write_bytes(b"12345")
    with downloads.fetched(url, downloads.facts(url)) as again:
        assert again.read_bytes() == b"whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == [".room", path.name]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://example.org.evil.com/a.mp4",
        "https://example.org@evil.com/a.mp4",
        "https://example.org/public/../private/a.mp4",
        "https://example.org/public/%2e%2e/private/a.mp4",
        "https://example.org/publicity/a.mp4",
        "s3://other/a.mp4",
        "gs://bucket/a.mp4",
    ],
)
def test_nothing_else_is_asked_for(url: str) -> None:
    downloads = Downloads(allowed=("https://example.org/public/", "s3://bucket"))
    assert downloads.allows("https://example.org/public/a.mp4?signature=1")
    assert downloads.allows("s3://bucket/a.mp4")
    with pytest.raises(VideoError, match="--allow-urls"):
        downloads.facts(url)


def test_a_manifest_from_a_stranger(project: Project) -> None:
    table = read_manifest(project.path / "manifests")
    paths = table["path"].to_pylist()
    paths[3] = "http://169.254.169.254/latest/meta-data"
    place = table.column_names.index("path")
    pq.write_table(table.set_column(place, table.schema.field("path"), [paths]), project.path / "stranger.parquet")
    with pytest.raises(ConfigError, match=r"169\.254"):
        prepare(project.options(manifest=project.path / "stranger.parquet"))
