"""A real S3 server in a process of its own, a proxy before it that injects faults, and a bucket for every test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from fouls.objects import client
from fouls.objects.location import location
from fouls.objects.paths import ObjectPath
from tests.pipeline.conftest import many_videos, project, tiny_weights

from .faulty_proxy import FaultyProxy

__all__ = ["many_videos", "project", "tiny_weights"]

START_SECONDS = 60.0


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and the proxy through which fouls asks for it."""

    name: str
    proxy: FaultyProxy
    boto: Any
    """A client that goes to the server itself, past the proxy."""

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def path(self, key: str) -> ObjectPath:
        place = location(self.url(key))
        assert isinstance(place, ObjectPath)
        return place

    def put(self, key: str, data: bytes) -> None:
        self.boto.put_object(Bucket=self.name, Key=key, Body=data)

    def tree(self, prefix: str = "") -> dict[str, bytes]:
        """Key below the prefix → content."""
        listed = self.boto.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        keys = [item["Key"] for item in listed]
        return {
            key.removeprefix(prefix): self.boto.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys
        }

    def upload(self, folder: Path, prefix: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


PROXY_PORT = free_port()
# Now, since the decoding processes have the environment that the first test of the session had.
for _variable in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
    os.environ.pop(_variable, None)
os.environ |= {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PROXY_PORT}",
}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of moto's S3 server, which listens on the loopback alone."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"the S3 server did not start: exit code {process.poll()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket; requests are tried again fast, and not for minutes."""
    boto = boto3.client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="tester", aws_secret_access_key="secret"
    )
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto.create_bucket(Bucket=name)
    with FaultyProxy(server, port=PROXY_PORT) as proxy:
        monkeypatch.setitem(client.BACKOFF, "init_backoff", timedelta(milliseconds=10))
        monkeypatch.setitem(client.BACKOFF, "max_backoff", timedelta(milliseconds=100))
        monkeypatch.setitem(client.RETRIES, "max_retries", 4)
        monkeypatch.setattr(client, "PAUSES_SECONDS", (0.01, 0.02, 0.04))
        client.connect.cache_clear()
        yield Bucket(name, proxy, boto)
        client.connect.cache_clear()
    boto.close()
