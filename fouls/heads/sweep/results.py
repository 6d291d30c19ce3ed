"""What a sweep found, a row a configuration: as a table, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fouls.heads.figures.sweep import SweepPoint
from fouls.heads.sweep.candidates import Candidate, as_text
from fouls.heads.train import Fit, deciding_score


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one configuration."""

    candidate: Candidate
    fit: Fit | None
    """``None`` where it failed."""
    seconds: float
    """Of its training; of those trained at once the share of each."""
    at_once: int
    """How many were trained at once."""
    failure: str | None = None

    @property
    def score(self) -> float | None:
        """The score on valid of the best epoch, see :class:`fouls.heads.train.Best`."""
        return None if self.fit is None else deciding_score(self.fit.history[self.fit.best_epoch - 1])

    @property
    def point(self) -> SweepPoint:
        """What the picture shows of it."""
        return SweepPoint(varied=self.candidate.varied, name=self.candidate.name, score=self.score)


def ranked(results: Sequence[Result]) -> list[Result]:
    """The best first, of equal ones the first of the grid; those that failed come last."""
    return sorted(results, key=lambda result: (result.score is None, -(result.score or 0), result.candidate.number))


def results_table(results: Sequence[Result]) -> pa.Table:
    """A row a configuration, in the order of the sweep.

    Its columns are ``configuration`` (from 1), one for each option that varies, ``score``, what the history says of
    valid in the best epoch (``valid/loss``, ``valid/<task>/…``), ``best_epoch``, ``epochs``, ``seconds``, ``at_once``
    and ``failed``, the reason.
    """
    results = sorted(results, key=lambda result: result.candidate.number)
    columns: dict[str, pa.Array] = {
        "configuration": pa.array([result.candidate.number for result in results], pa.int64())
    }
    for name in results[0].candidate.varied:
        columns[name] = _column([result.candidate.varied[name] for result in results])
    columns["score"] = pa.array([result.score for result in results], pa.float64())
    lines = [{} if result.fit is None else result.fit.history[result.fit.best_epoch - 1] for result in results]
    for name in dict.fromkeys(name for line in lines for name in line if name.startswith("valid/")):
        columns[name] = pa.array([line.get(name) for line in lines], pa.float64())
    fits = [result.fit for result in results]
    columns |= {
        "best_epoch": pa.array([None if fit is None else fit.best_epoch for fit in fits], pa.int64()),
        "epochs": pa.array([None if fit is None else len(fit.history) for fit in fits], pa.int64()),
        "seconds": pa.array([result.seconds for result in results], pa.float64()),
        "at_once": pa.array([result.at_once for result in results], pa.int64()),
        "failed": pa.array([result.failure for result in results], pa.string()),
    }
    return pa.table(columns)


def _column(values: Sequence[Any]) -> pa.Array:
    """Numbers and truth values as they are, all else as text."""
    known = [value for value in values if value is not None]
    for kind, as_arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if known and all(type(value) is kind for value in known):
            return pa.array(values, as_arrow)
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def to_parquet(table: pa.Table) -> bytes:
    """The table as a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
