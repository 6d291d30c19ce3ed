"""How long will it take? A short trial on the very work that is to be done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from fouls.cache.store import open_store
from fouls.pipeline.benchmark.limit import least_seconds
from fouls.pipeline.devices import usable_cores
from fouls.pipeline.extract import plan
from fouls.pipeline.prepare import Prepared
from fouls.pipeline.trial import Calibration, calibrate, total_seconds
from fouls.pipeline.tuning import Tuning, tune
from fouls.pipeline.work import Work, find_work, make_work


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What an extraction would do."""

    new_rows: int
    """Rows that would be planned."""
    rows: int
    """Rows that would be done, the new ones among them."""
    blocks: int
    bytes: int
    """Of the features of the rows to do."""
    batch_size: int
    """Clips in a forward pass."""
    seconds: float | None
    """``None`` when there is nothing to try it on."""

    def to_dict(self) -> dict[str, int | float | None]:
        """As JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What an extraction of one or several stores would do."""

    stores: tuple[Estimate, ...]
    """Each as if it were extracted alone."""
    seconds: float | None
    """For all of them at once; ``None`` when one has rows to do and there is nothing to try it on."""
    decode_workers: int
    """Decoding processes at the beginning."""
    tuned: str | None
    """What was chosen after a trial and why; ``None``: there is too little to do for one."""


def estimate_all(prepared: Sequence[Prepared]) -> Estimates:
    """What :func:`fouls.pipeline.extract.extract_all` would do, and how long it would take; writes nothing."""
    new = [plan(each) for each in prepared]
    works = [_works(each, *planned) for each, planned in zip(prepared, new, strict=True)]
    num_rows = [sum(work.num_rows for work in its) for its in works]
    largest = [max(its, key=lambda work: work.num_rows) for its in works]
    tuning = tune(prepared, largest, num_rows=sum(num_rows))
    trials = tuning.calibrations or [
        calibrate(each.backbone, work, tuning.engine, each.spec, batch_size=size) if work else None
        for each, work, size in zip(prepared, largest, tuning.batch_sizes, strict=True)
    ]
    done = list(zip(num_rows, trials, strict=True))
    return Estimates(
        stores=tuple(
            _estimate(each, planned.num_rows, its, batch_size=size, seconds=_seconds([rows_and_trial], each, tuning))
            for each, (planned, _), its, size, rows_and_trial in zip(
                prepared, new, works, tuning.batch_sizes, done, strict=True
            )
        ),
        seconds=_seconds(done, prepared[0], tuning),
        decode_workers=tuning.engine.decode_workers,
        tuned=tuning.reason,
    )


def estimate(prepared: Prepared) -> Estimate:
    """What :func:`fouls.pipeline.extract.extract` would do, and how long it would take; writes nothing."""
    return estimate_all([prepared]).stores[0]


def _works(prepared: Prepared, new: pa.Table, block_rows: int) -> list[Work]:
    """What is new, with the batch size of what is there; and what is left of that."""
    manifest, store, options = prepared.manifest, prepared.options.store, prepared.options
    if not (store / "zarr.json").exists():
        return [replace(make_work(new, block_rows, manifest, {}), downloads=options.downloads)]
    left = find_work(open_store(store), manifest, retry=options.retry, downloads=options.downloads)
    return [replace(make_work(new, block_rows, manifest, left.ledger), downloads=options.downloads), left]


def _estimate(
    prepared: Prepared, new_rows: int, works: Sequence[Work], *, batch_size: int, seconds: float | None
) -> Estimate:
    row_values = sum(math.prod(shape) for shape in prepared.pool_shapes.values())
    num_rows = sum(work.num_rows for work in works)
    return Estimate(
        new_rows=new_rows,
        rows=num_rows,
        blocks=sum(map(len, works)),
        bytes=num_rows * row_values * np.dtype(prepared.spec.stored_dtype).itemsize,
        batch_size=batch_size,
        seconds=seconds,
    )


def _seconds(work: Sequence[tuple[int, Calibration | None]], prepared: Prepared, tuning: Tuning) -> float | None:
    """Time for the rows of some stores; ``None`` where there are none, or nothing is known of some."""
    known = [(rows, trial) for rows, trial in work if rows and trial is not None]
    if not known or len(known) < sum(rows > 0 for rows, _ in work):
        return None
    forward, decoding = total_seconds(known)
    placement = prepared.placement
    if placement.device != "cpu":
        decoding /= tuning.engine.max_decode_workers or tuning.engine.decode_workers
        return least_seconds(forward=forward, decoding=decoding, on_gpu=True) / placement.engines
    return least_seconds(forward=forward, decoding=decoding / usable_cores(), on_gpu=False)
