"""The formats by name, and an export from beginning to end."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fouls.cache.export import actionformer, hdf5, npy, parquet, webdataset
from fouls.cache.export.about import About
from fouls.cache.export.npy import json_bytes
from fouls.cache.export.videos import VideoFacts, VideoFeatures, read_videos
from fouls.cache.store import Store
from fouls.errors import ConfigError, ExportError
from fouls.files import PARTIAL_SUFFIX

MARK = "export.json"
"""What tells a folder that was exported from another; written last."""

Write = Callable[[Path, Iterable[VideoFeatures], About], dict[str, str]]

FORMATS: dict[str, Write] = {
    "npy": npy.write,
    "parquet": parquet.write,
    "hdf5": hdf5.write,
    "webdataset": webdataset.write,
    "actionformer": actionformer.write,
}


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written."""

    videos: int
    rows: int
    missing: dict[str, int]
    """Video → rows of it that are not done, and are missing."""
    left_out: dict[str, str]
    """Video of which nothing was written → why."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def export(
    store: Store,
    *,
    to: str,
    out: Path,
    pool: str | None = None,
    facts: Mapping[str, VideoFacts] | None = None,
    overwrite: bool = False,
    on_video: Callable[[int], None] = lambda _: None,
) -> ExportReport:
    """Write the done rows of a pool in another format. The folder is there whole or not at all.

    Args:
        store: whose features.
        to: one of :data:`FORMATS`.
        out: a new folder.
        pool: ``None``: the only one.
        facts: video_id → what a manifest says of it.
        overwrite: an export that is there goes.
        on_video: called with 1 after each video.

    Raises:
        ConfigError: no such format or pool.
        ExportError: the format can't hold these features, or the folder is not free or can't be written.
        DamagedStoreError: a row can't be read back.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to is {to!r}; allowed: {', '.join(FORMATS)}")
    out = out.absolute()
    about = About(store=store, pool=_choose_pool(store, pool))
    check_free(out, overwrite=overwrite)
    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    counted = _Counted(read_videos(store, about.pool, facts or {}), on_video)
    try:
        partial.mkdir(parents=True)
        left_out = FORMATS[to](partial, counted, about)
        report = counted.report(left_out)
        plain = {"format": to, "store": str(store.path), **about.to_dict(), **report.to_dict()}
        (partial / MARK).write_bytes(json_bytes(plain))
        _move(partial, out)
    except OSError as error:
        raise ExportError(f"{out} can't be written ({error.strerror}): make room, or choose another --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


class _Counted:
    """Videos on their way into a format: those without rows are held back, and everything is counted."""

    def __init__(self, videos: Iterator[VideoFeatures], on_video: Callable[[int], None]) -> None:
        self._videos, self._on_video = videos, on_video
        self._rows: dict[str, int] = {}
        self._missing: dict[str, int] = {}

    def __iter__(self) -> Iterator[VideoFeatures]:
        for video in self._videos:
            if video.missing:
                self._missing[video.video_id] = video.missing
            if video.rows.num_rows:
                self._rows[video.video_id] = video.rows.num_rows
                yield video
            self._on_video(1)

    def report(self, left_out: dict[str, str]) -> ExportReport:
        """What there was, without what the format has left out."""
        written = {video_id: rows for video_id, rows in self._rows.items() if video_id not in left_out}
        nothing = dict.fromkeys(self._missing.keys() - self._rows.keys(), "none of its rows is done")
        return ExportReport(
            videos=len(written),
            rows=sum(written.values()),
            missing=self._missing,
            left_out=dict(sorted({**nothing, **left_out}.items())),
        )


def _choose_pool(store: Store, pool: str | None) -> str:
    if pool is None and len(store.pools) > 1:
        raise ConfigError(f"{store.path} has several pools: choose one with --pool: {', '.join(store.pools)}")
    chosen = pool or next(iter(store.pools))
    if chosen not in store.pools:
        raise ConfigError(f"--pool is {chosen!r}; {store.path} has {', '.join(store.pools)}")
    return chosen


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is not free.

    Raises:
        ExportError: something else than an export is there, or one that may not be overwritten.
    """
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink() and not any(out.iterdir()):
        return
    if out.is_symlink() or not (out / MARK).is_file():
        raise ExportError(f"{out} is there and is no export: choose another --out")
    if not overwrite:
        raise ExportError(f"{out} is there already: choose another --out, or --overwrite it")


def _move(partial: Path, out: Path) -> None:
    """Put a finished folder in its place; what was there goes after it is replaced."""
    if not out.exists():
        partial.rename(out)
        return
    old = partial.with_name(f"{partial.name}.old")
    out.rename(old)
    partial.rename(out)
    shutil.rmtree(old)
