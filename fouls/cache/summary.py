"""What there is to say of a store: counts, failures, throughput, the bottleneck."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.ledger import BlockRecord
from fouls.cache.quarantine import is_quarantined
from fouls.cache.rows import read_rows
from fouls.cache.store import STATUSES, Store, row_status
from fouls.objects.location import Location
from fouls.objects.paths import ObjectPath


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of one store's rows and what its work cost; read from the disk."""

    rows: int
    """Rows of the plan that are not retired: done + failed + todo."""
    done: int
    failed: int
    quarantined: int
    """Of the failed: rows that a retry leaves alone, since they kill or hang the decoder."""
    todo: int
    retired: int
    videos: int
    blocks: int
    """Blocks on which work has ended."""
    bytes: int
    """Bytes of all files of the store."""
    decoders: dict[str, int]
    """Decoder → rows that it decoded."""
    seconds: dict[str, float]
    """Seconds by stage, summed over the blocks; ``read`` and ``preprocess`` over the decoding processes too."""
    rows_per_second: float | None
    """Rows done by the time during which work was going on; ``None`` before any."""
    bottleneck: str | None
    """``decoding`` when the backbone waited for frames longer than it worked, else ``backbone``."""
    fingerprint: str
    spec: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def summarise(store: Store) -> Summary:
    """Read what stands in the index and the ledger now."""
    table, retired = read_rows(store.path, ["row", "video_id", "augment"])
    ledger = store.ledger()
    status = row_status(table, retired, ledger)
    counts = dict(zip(STATUSES, np.bincount(status, minlength=len(STATUSES)).tolist(), strict=True))
    seconds = _total(record.seconds for record in ledger)
    spans = [(span, record) for record in ledger if (span := _span(record)) is not None]
    worked = _union_seconds(span for span, _ in spans)
    recorded = sum(stop - start for _, record in spans for start, stop in record.done)
    return Summary(
        rows=int((~retired).sum()),
        done=counts["done"],
        failed=counts["failed"],
        quarantined=_count_quarantined(table, retired, ledger),
        todo=counts["todo"],
        retired=counts["retired"],
        videos=_count_videos(table, retired),
        blocks=len(ledger),
        bytes=_bytes_below(store.path),
        decoders={name: int(count) for name, count in _total(_decoded(record) for record in ledger).items()},
        seconds=seconds,
        rows_per_second=recorded / worked if worked and recorded else None,
        bottleneck=_bottleneck(seconds),
        fingerprint=store.fingerprint,
        spec=store.spec.to_dict(),
    )


def _count_videos(table: pa.Table, retired: npt.NDArray[np.bool_]) -> int:
    """Videos with live rows. Each has plain rows in one live planning, and there they stand together."""
    plain = pc.equal(table["augment"], 0)
    names = table["video_id"].filter(plain if not retired.any() else pc.and_(plain, pa.array(~retired)))
    names = names.combine_chunks()
    changes = pc.not_equal(names.slice(1), names.slice(0, max(0, len(names) - 1)))
    return (pc.sum(changes).as_py() or 0) + min(1, len(names))


def _bytes_below(folder: Location) -> int:
    """Of all files, however deep; a store of many rows has tens of thousands."""
    if isinstance(folder, ObjectPath):
        return sum(folder.sizes().values())
    total, waiting = 0, [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with suppress(FileNotFoundError):  # somebody is filling the store, and it has just got its name
                    total += entry.stat().st_size
    return total


def _count_quarantined(table: pa.Table, retired: npt.NDArray[np.bool_], ledger: Sequence[BlockRecord]) -> int:
    rows = {failure.row for record in ledger for failure in record.failures if is_quarantined(failure)}
    return len(rows.intersection(table["row"].to_numpy()[~retired].tolist())) if rows else 0


def _decoded(record: BlockRecord) -> dict[str, float]:
    return {decoder: sum(stop - start for start, stop in ranges) for decoder, ranges in record.decoders.items()}


def _total(parts: Any) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total


def _span(record: BlockRecord) -> tuple[float, float] | None:
    """When the last work on a block began and ended; ``None`` where that is not known: the clock may have been set."""
    if not (record.started_at and record.finished_at):
        return None
    start = datetime.fromisoformat(record.started_at).timestamp()
    stop = datetime.fromisoformat(record.finished_at).timestamp()
    return (start, stop) if start <= stop else None


def _union_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds during which at least one block was being worked on."""
    seconds, until = 0.0, float("-inf")
    for start, stop in sorted(spans):
        seconds += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return seconds


def _bottleneck(seconds: dict[str, float]) -> str | None:
    if not seconds.get("forward"):
        return None
    return "decoding" if seconds.get("wait", 0) > seconds["forward"] else "backbone"
