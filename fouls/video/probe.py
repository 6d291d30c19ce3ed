"""What a file is: its facts and its hash, found in a process that may hang or die on it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace

from fouls.errors import VideoError
from fouls.video.downloads import Downloads
from fouls.video.frame_index import index_of, is_url, reason
from fouls.video.isolation import IsolatedPool
from fouls.video.types import VideoInfo

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was found. A file that can't be decoded still has a size and a hash."""

    info: VideoInfo | None
    """``None`` where there is an ``error``. Every decoder counts the frames like this, or refuses the file."""
    size_bytes: int | None
    modified_ns: int | None
    """The file's mtime, in nanoseconds."""
    content_hash: str | None
    """SHA-256 of the file's bytes, as 64 hexadecimal digits."""
    error: str | None
    """``code: reason``, the code one of :data:`fouls.errors.VIDEO_ERROR_CODES`; ``None``: all is well."""


def hash_file(path: str) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        OSError: it can't be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe_url(url: str, downloads: Downloads) -> Probe:
    """Probe a video at a URL, in this process: it is downloaded. Its time is that of the object."""
    try:
        facts = downloads.facts(url)
        with downloads.fetched(url, facts) as path:
            return replace(probe_file(str(path)), modified_ns=facts.modified_ns)
    except VideoError as error:
        return _failed(error)


def probe_file(path: str) -> Probe:
    """Probe one file in this process."""
    size_bytes = modified_ns = content_hash = None
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise VideoError("unreadable", f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}, not a file")
        content_hash = hash_file(path)
        size_bytes, modified_ns = status.st_size, status.st_mtime_ns
        info = index_of(path).info
    except FileNotFoundError:
        return _failed(VideoError("unreadable", "no such file"))
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        return _failed(VideoError("unreadable", reason(error)))
    except VideoError as error:
        return _failed(error, size_bytes, modified_ns, content_hash)
    return Probe(info=info, size_bytes=size_bytes, modified_ns=modified_ns, content_hash=content_hash, error=None)


def probe_files(
    paths: Sequence[str],
    *,
    workers: int,
    timeout_seconds: float,
    downloads: Downloads | None = None,
    on_done: Callable[[str, Probe], None] | None = None,
) -> list[Probe]:
    """Probe files, several at a time, each in a process of its own.

    Args:
        paths: files, or URLs.
        workers: processes.
        timeout_seconds: for one file; one that takes longer, or kills the process, has that as its error.
        downloads: which of the URLs may be downloaded; ``None``: none.
        on_done: is called after each file, in the order in which they are done, from this thread.

    Returns:
        A probe for each path, in their order.
    """
    probes: dict[int, Probe] = {}
    with IsolatedPool(max(1, min(workers, len(paths))), timeout_seconds, preload=[__name__]) as pool:
        futures = {}
        for place, path in enumerate(paths):
            remote = is_url(path)
            future = pool.submit(probe_url, path, downloads or Downloads()) if remote else pool.submit(probe_file, path)
            futures[future] = place
        for future in as_completed(futures):
            number = futures[future]
            try:
                probes[number] = future.result()
            except VideoError as error:
                probes[number] = _failed(error)
            if on_done is not None:
                on_done(paths[number], probes[number])
    return [probes[number] for number in range(len(paths))]


def _failed(
    error: VideoError,
    size_bytes: int | None = None,
    modified_ns: int | None = None,
    content_hash: str | None = None,
) -> Probe:
    return Probe(
        info=None,
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        content_hash=content_hash,
        error=f"{error.code}: {error}",
    )
