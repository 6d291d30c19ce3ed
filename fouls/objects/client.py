"""Requests to object storage: who is asked, how often a request is tried again, and what its errors are called.

obstore (the Rust library object_store) does the work: it tries answers of 5xx and cut connections again, and goes on
with a download where it was cut. What it does not try again, such as a list that is cut short, is tried again here.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fouls.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, ObjectStore, RetryConfig, S3Config

T = TypeVar("T")

SCHEMES = ("s3", "gs", "https")
"""What is asked. ``http`` is not: anybody on the way could change what comes. An endpoint of S3 may be ``http``."""

TIMEOUTS: ClientConfig = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "1h"}
"""For a connection, for a pause in an answer, and for all of a request; 60 s are 64 MiB at 9 Mbit/s."""
BACKOFF: BackoffConfig = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=10),
    "base": 2,
}
RETRIES: RetryConfig = {"max_retries": 8, "retry_timeout": timedelta(minutes=2), "backoff": BACKOFF}
PAUSES_SECONDS = (0.1, 0.5, 2.0)
"""Before the tries again of what obstore gives up at once."""

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")


@lru_cache(maxsize=64)
def connect(url: str) -> ObjectStore:
    """A client for what lies below a URL; one a process and URL.

    Raises:
        ConfigError: obstore is not installed, or there are no credentials.
    """
    try:
        from obstore.store import from_url
    except ImportError:
        raise ConfigError(f"{url} needs obstore, which is not installed: pip install 'fouls[cloud]'") from None
    scheme = url.partition("://")[0]
    if scheme == "s3":
        return _connect_s3(url)
    return from_url(url, client_options=_client_options(), retry_config=RETRIES)


def _client_options() -> ClientConfig:
    """For every storage. ``SSL_CERT_FILE`` names certificates that are believed too, such as those of a company."""
    options = TIMEOUTS.copy()
    if bundle := os.environ.get("SSL_CERT_FILE"):
        options["root_certificate"] = Path(bundle).read_bytes()
    return options


def _connect_s3(url: str) -> ObjectStore:
    from obstore.store import S3Store

    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    client = _client_options()
    client["allow_http"] = endpoint is not None and endpoint.startswith("http://")
    config: S3Config = {} if endpoint is None else {"endpoint": endpoint}
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return S3Store.from_url(url, config=config, client_options=client, retry_config=RETRIES)
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    if session.get_credentials() is None:
        raise ConfigError(
            f"no credentials for {url}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
            "AWS_SKIP_SIGNATURE=true reads a public bucket without any"
        )
    return S3Store.from_url(
        url,
        config=config,
        client_options=client,
        retry_config=RETRIES,
        credential_provider=Boto3CredentialProvider(session),
    )


def ask(where: str, request: Callable[[], T]) -> T:
    """Do a request, and try it again where it is cut.

    Args:
        where: the URL that it is about.
        request: may be repeated: it leaves the same behind when it is done twice.

    Raises:
        FileNotFoundError: there is no such object.
        StorageError: no bucket, no permission, or no answer after all tries.
    """
    from obstore.exceptions import BaseError

    for pause in (*PAUSES_SECONDS, None):
        try:
            return request()
        except (BaseError, FileNotFoundError) as error:
            if pause is None or not _is_cut(error):
                raise translate(error, where) from error
            time.sleep(pause)
    raise AssertionError  # the last pause is None


async def ask_async(where: str, request: Callable[[], Awaitable[T]]) -> T:
    """:func:`ask` for a request that is awaited."""
    import asyncio

    from obstore.exceptions import BaseError

    for pause in (*PAUSES_SECONDS, None):
        try:
            return await request()
        except (BaseError, FileNotFoundError) as error:
            if pause is None or not _is_cut(error):
                raise translate(error, where) from error
            await asyncio.sleep(pause)
    raise AssertionError


def _is_cut(error: Exception) -> bool:
    """Whether an answer did not come, or not whole, and obstore has not asked again."""
    line = str(error).partition("\n")[0]
    return not isinstance(error, FileNotFoundError) and "HTTP error" in line and "max_retries" not in line


def translate(error: Exception, where: str) -> Exception:
    """What an error of obstore is called here."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    reason = code[1] if code else (f"HTTP {status[1]}" if status else None)
    if reason == "NoSuchBucket":
        return StorageError(f"{where}: there is no such bucket; make it, or name another")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(where)
    refused = status is not None and status[1] in ("401", "403")
    if refused or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return StorageError(
            f"{where} is refused ({reason or 'no permission'}): look after the credentials (AWS_ACCESS_KEY_ID, "
            "AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS) and what they may do"
        )
    return StorageError(
        f"{where} can't be reached ({reason or _short(text)}), also not when tried again: what is committed stays, "
        "and the same command goes on from there"
    )


def _short(text: str) -> str:
    """What an error of obstore says, without the request, which may hold a signature."""
    line = text.strip().splitlines()[0] if text.strip() else "no reason given"
    return line.rpartition(" - ")[2].removeprefix("Generic S3 error: ")
