"""Videos at URLs: downloaded into a folder that never grows beyond its bound, and used by all processes of a machine.

A file in that folder is named after its URL and the version of what lies there, so that another content is another
file. Who uses a file, or fills one, holds a lock on it that the system drops when the process dies. What nobody holds
is removed where room is needed, the least recently used first.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fouls.errors import ConfigError, FoulsError, VideoError
from fouls.files import PARTIAL_SUFFIX
from fouls.objects.location import location
from fouls.objects.paths import ObjectFacts, ObjectPath

if sys.platform != "win32":
    import fcntl

DEFAULT_MAX_BYTES = 20 * 10**9
WAIT_SECONDS = 0.1
"""Between looks for room, while others use all there is."""


def default_folder() -> Path:
    """``~/.cache/fouls/videos``, or below ``XDG_CACHE_HOME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fouls" / "videos"


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """What may be downloaded, and where to."""

    allowed: tuple[str, ...] = ()
    """URLs, and all below them. A manifest may be anybody's: nothing else is asked for."""
    folder: Path = field(default_factory=default_folder)
    max_bytes: int = DEFAULT_MAX_BYTES
    """What the files in the folder have together, at most."""

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ConfigError(f"--video-cache-bytes is {self.max_bytes}; it must be above 0")
        for prefix in self.allowed:
            if not isinstance(location(prefix), ObjectPath):
                raise ConfigError(f"--allow-urls is {prefix!r}; it must be a URL, such as s3://bucket/videos")

    def allows(self, url: str) -> bool:
        """Whether a URL is one of those that may be asked for, or lies below one."""
        try:
            place = str(location(url))
        except ConfigError:  # of another kind, or with dots in it
            return False
        path = place.partition("?")[0]
        prefixes = [str(location(prefix)) for prefix in self.allowed]
        return any(prefix in (place, path) or path.startswith(f"{prefix}/") for prefix in prefixes)

    def facts(self, url: str) -> ObjectFacts:
        """What the storage tells of a video.

        Raises:
            VideoError: ``unreadable``: not allowed, or not there; ``unreachable``: no answer, or a refusal.
        """
        if not self.allows(url):
            raise VideoError("unreadable", f"{_shown(url)} is not asked for: --allow-urls names what is")
        with _as_video_error():
            found = _object(url).facts()
        if found is None:
            raise VideoError("unreadable", f"no such object: {_shown(url)}")
        return found

    @contextmanager
    def fetched(self, url: str, facts: ObjectFacts, content_hash: str | None = None) -> Iterator[Path]:
        """A local copy of a video, which stays as long as the context does.

        Args:
            url: of the video.
            facts: what :meth:`facts` has just told of it.
            content_hash: SHA-256 that its bytes must have when they are downloaded; ``None``: any.

        Raises:
            VideoError: ``unreadable``: larger than the bound; ``unreachable``; ``changed`` since the facts were told,
                or since it was hashed.
        """
        if sys.platform == "win32":
            raise VideoError("unreadable", f"{url}: videos at URLs need the file locks of a POSIX system")
        if facts.size_bytes > self.max_bytes:
            raise VideoError(
                "unreadable",
                f"{_shown(url)} has {facts.size_bytes:,} bytes; --video-cache-bytes allows {self.max_bytes:,} in all",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _name(url, facts)
        while True:
            with _locked(path, fcntl.LOCK_SH) as there:
                if there and path.stat().st_size == facts.size_bytes:
                    os.utime(path)  # used now
                    yield path
                    return
                if there:
                    path.unlink(missing_ok=True)  # not as it was put there
            self._download(url, facts, path, content_hash)

    def _download(self, url: str, facts: ObjectFacts, path: Path, content_hash: str | None) -> None:
        """Fill in a file, unless somebody else is doing so: then wait for it."""
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        partial.touch()
        with _locked(partial, fcntl.LOCK_EX) as ours:
            if not ours or path.exists():
                if ours:
                    partial.unlink()
                return
            try:
                os.truncate(partial, 0)  # what somebody left half-filled counts no more
                self._reserve(partial, facts.size_bytes)
                with _as_video_error():
                    written = _object(url).download(partial)
                if written.version != facts.version or written.size_bytes != facts.size_bytes:
                    raise VideoError(
                        "changed", f"{_shown(url)} has changed while it was being read: build the manifest again"
                    )
                if content_hash is not None and _hash(partial) != content_hash:
                    raise VideoError(
                        "changed", f"{_shown(url)} has changed since it was probed: build the manifest again"
                    )
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def _reserve(self, partial: Path, size_bytes: int) -> None:
        """Make room for a file, and give it its length: others count it from now on."""
        while True:
            with _locked_always(self.folder / ".room"):
                if self._make_room(size_bytes):
                    os.truncate(partial, size_bytes)
                    return
            time.sleep(WAIT_SECONDS)  # all that is there is in use

    def _make_room(self, wanted_bytes: int) -> bool:
        files = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((not path.name.endswith(PARTIAL_SUFFIX), status.st_mtime_ns, status.st_size, path))
        left = self.max_bytes - sum(size for _, _, size, _ in files)
        for _, _, size, path in sorted(files):  # what somebody left half-filled goes first
            if left >= wanted_bytes:
                break
            if size and _remove_unused(path):
                left += size
        return left >= wanted_bytes


def _shown(url: str) -> str:
    """Without its query, which may be a signature."""
    return url.partition("?")[0]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(url: str) -> ObjectPath:
    place = location(url)
    assert isinstance(place, ObjectPath)
    return place


def _name(url: str, facts: ObjectFacts) -> str:
    content = f"{url}\n{facts.size_bytes}\n{facts.modified.isoformat()}\n{facts.version}"
    return hashlib.sha256(content.encode()).hexdigest()[:40] + Path(urlsplit(url).path).suffix[:8]


@contextmanager
def _as_video_error() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise VideoError("unreadable", f"no such object: {error}") from error
    except VideoError:
        raise
    except FoulsError as error:
        raise VideoError("unreachable", str(error)) from error


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[bool]:
    """Hold a lock on a file; false where it is not there, or has been removed or replaced before it could be locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, kind)
        yield _is_at(descriptor, path)
    finally:
        os.close(descriptor)


@contextmanager
def _locked_always(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is never removed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _remove_unused(path: Path) -> bool:
    """Remove a file that nobody holds."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
