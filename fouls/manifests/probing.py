"""Probing the files of a listing, and taking over what the last build knows of those that have not changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

import pyarrow as pa

from fouls.errors import ConfigError, VideoError
from fouls.manifests.builders.listing import Row
from fouls.manifests.journal import open_journal, read_journal
from fouls.manifests.schema import PROBE_COLUMNS, is_url
from fouls.manifests.table import absolute_paths
from fouls.video.downloads import Downloads
from fouls.video.probe import Probe, hash_file, probe_files
from fouls.video.types import VideoInfo

ProgressBar = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]
"""(description, total, unit) → a context manager that gives a function which advances the bar."""

SEGMENT_ERROR = "too_short: segment beyond the end"
"""How the error of a row begins whose file is sound, but shorter than the row's segment."""

_REQUESTS = 16
_FILES_IN_FLIGHT = 8192
"""Files handed to the processes at a time: bounds what waits in memory."""
_PASSING = ("timeout", "decoder_crashed", "unreachable")
_UNPROBED_URL = (
    "unreadable: this URL is not asked for; --allow-urls has it downloaded and probed, or give num_frames, fps, width "
    "and height in a table (--format csv)"
)


@dataclass(frozen=True, kw_only=True)
class ProbingOptions:
    """How files are probed."""

    workers: int | None = None
    """Processes; ``None``: one a CPU that this process may use."""
    timeout_seconds: float = 60.0
    """For one file; one that takes longer is recorded as failed."""
    reprobe: bool = False
    """Probe every file again, whatever the last build knows."""
    downloads: Downloads = field(default_factory=Downloads)
    """Which videos at URLs are downloaded and probed; of others the table has to say what they are."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; it must be at least 1")
        if not self.timeout_seconds > 0:
            raise ConfigError(f"probe timeout is {self.timeout_seconds} s; it must be greater than 0")

    @property
    def num_workers(self) -> int:
        """The number of processes, resolved."""
        return self.workers or (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What is known of every path of a listing."""

    probes: Mapping[str, Probe]
    num_probed: int
    num_hashed: int
    num_reused: int
    missing: frozenset[str]
    """Paths where no file is."""


@contextmanager
def no_progress(_description: str, _total: int, _unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar that shows nothing."""
    yield lambda _: None


def probes_of(table: pa.Table) -> dict[str, Probe]:
    """What a manifest knows of its files: absolute path or URL → probe."""
    records = table.select(PROBE_COLUMNS).to_pylist()
    return {path: _from_record(record) for path, record in zip(absolute_paths(table), records, strict=True)}


def _from_record(record: Mapping[str, Any]) -> Probe:
    facts = dict(record)
    size_bytes, modified_ns = facts.pop("size_bytes"), facts.pop("modified_ns")
    content_hash, error = facts.pop("content_hash"), facts.pop("probe_error")
    info = None if facts["num_frames"] is None else VideoInfo(**facts)
    return Probe(
        info=info,
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        content_hash=content_hash,
        error=None if str(error).startswith(SEGMENT_ERROR) else error,
    )


def probe_rows(
    rows: Sequence[Row], last: Mapping[str, Probe], manifest: Path, options: ProbingOptions, progress: ProgressBar
) -> Probed:
    """Probe each path once.

    A file with the size and mtime that ``last`` has is not opened; one with the same size and another mtime is hashed,
    and probed only where the hash differs; a timeout or a crash is tried again. What is probed goes to a journal
    beside the manifest as it comes, so that an interrupted build goes on from there.

    Args:
        rows: a listing's.
        last: path → what the last build found.
        manifest: the file that will be written.
        options: workers, timeout, whether to reuse.
        progress: opens a progress bar.
    """
    probes = {row.path: _known_url(row) for row in rows if is_url(row.path) and not options.downloads.allows(row.path)}
    known = {} if options.reprobe else {**last, **read_journal(manifest)}
    missing: set[str] = set()
    touched: dict[str, int] = {}  # path → new mtime
    to_probe: list[str] = []
    num_unchanged = 0
    statuses = _statuses([path for path in dict.fromkeys(row.path for row in rows) if path not in probes], options)
    for path, (status, error) in statuses.items():
        before = known.get(path)
        if status is None:
            probes[path] = Probe(info=None, size_bytes=None, modified_ns=None, content_hash=None, error=error)
            missing.add(path)
        elif before is None or before.size_bytes != status.size_bytes or _is_passing(before.error):
            to_probe.append(path)
        elif before.modified_ns == status.modified_ns:
            probes[path] = before
            num_unchanged += 1
        else:
            touched[path] = status.modified_ns
    same = _same_content(touched, known, options, progress)
    probes |= same
    to_probe += [path for path in touched if path not in same]
    probes |= _probe(to_probe, manifest, options, progress)
    return Probed(
        probes=probes,
        num_probed=len(to_probe),
        num_hashed=len(same),
        num_reused=num_unchanged + len(same),
        missing=frozenset(missing),
    )


def _is_passing(error: str | None) -> bool:
    """Whether an error tells of a slow or shaky machine, not of the file: the next build tries again."""
    return error is not None and error.partition(":")[0] in _PASSING


def _known_url(row: Row) -> Probe:
    unknown = Probe(info=None, size_bytes=None, modified_ns=None, content_hash=None, error=_UNPROBED_URL)
    return unknown if row.known is None else row.known


class _Status(NamedTuple):
    size_bytes: int
    modified_ns: int


def _statuses(paths: Sequence[str], options: ProbingOptions) -> dict[str, tuple[_Status | None, str | None]]:
    """The status of every path, or why there is none; a storage is asked for several at a time."""
    remote = [path for path in paths if is_url(path)]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        answers = dict(zip(remote, pool.map(lambda url: _ask_status(url, options.downloads), remote), strict=True))
    return {path: answers[path] if path in answers else _stat(path) for path in paths}


def _ask_status(url: str, downloads: Downloads) -> tuple[_Status | None, str | None]:
    try:
        facts = downloads.facts(url)
    except VideoError as error:
        return None, f"{error.code}: {error}"
    return _Status(facts.size_bytes, facts.modified_ns), None


def _stat(path: str) -> tuple[_Status | None, str | None]:
    """Its status, or why there is none. Cheap: thousands of missing files must not each cost a process a visit."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None, "unreadable: no such file"
    except (OSError, ValueError) as error:
        return None, f"unreadable: {error}"
    if S_ISDIR(status.st_mode):
        return None, "unreadable: a folder, not a file"
    return _Status(status.st_size, status.st_mtime_ns), None


def _same_content(
    touched: Mapping[str, int], known: Mapping[str, Probe], options: ProbingOptions, progress: ProgressBar
) -> dict[str, Probe]:
    """Of the files whose mtime changed, those whose bytes did not: path → what is known, with the new mtime."""
    if not touched:
        return {}
    same = {}
    with progress("hashing", len(touched), "files") as advance, ThreadPoolExecutor(options.num_workers) as pool:
        for path, content_hash in zip(touched, pool.map(_hash_or_none, touched), strict=True):
            advance(1)
            if content_hash is not None and content_hash == known[path].content_hash:
                same[path] = replace(known[path], modified_ns=touched[path])
    return same


def _hash_or_none(path: str) -> str | None:
    try:
        return None if is_url(path) else hash_file(path)
    except OSError:  # the probe meets it again and says so in the file's row
        return None


def _probe(paths: Sequence[str], manifest: Path, options: ProbingOptions, progress: ProgressBar) -> dict[str, Probe]:
    if not paths:
        return {}
    probes: dict[str, Probe] = {}
    with progress("probing", len(paths), "files") as advance, open_journal(manifest) as note:

        def done(path: str, probe: Probe) -> None:
            note(path, probe)
            advance(1)

        for start in range(0, len(paths), _FILES_IN_FLIGHT):
            batch = paths[start : start + _FILES_IN_FLIGHT]
            found = probe_files(
                batch,
                workers=options.num_workers,
                timeout_seconds=options.timeout_seconds,
                downloads=options.downloads,
                on_done=done,
            )
            probes |= zip(batch, found, strict=True)
    return probes
