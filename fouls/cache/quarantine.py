"""Rows that kill or hang the decoder again and again: a retry leaves them alone, unless it is told not to."""

from __future__ import annotations

from dataclasses import dataclass

from fouls.cache.ledger import RowFailure
from fouls.errors import VIDEO_ERROR_CODES, ConfigError, VideoError

LIMITS = {"decoder_crashed": 2, "timeout": 3}
"""Class of error that ends a decoding process → how many of these a row may cost before it is left alone."""


def failed_again(before: RowFailure | None, *, row: int, video_id: str, error: VideoError) -> RowFailure:
    """A row's failure, with the attempts counted on from the one before."""
    return RowFailure(
        row=row,
        video_id=video_id,
        code=error.code,
        message=str(error),
        decoder=error.decoder,
        last_good_frame=error.last_good_frame,
        attempts=1 + (before.attempts if before else 0),
        processes_lost=(error.code in LIMITS) + (before.processes_lost if before else 0),
    )


def is_quarantined(failure: RowFailure) -> bool:
    """Whether a retry leaves the row alone."""
    return failure.code in LIMITS and failure.processes_lost >= LIMITS[failure.code]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Which failed rows are tried again."""

    only: tuple[str, ...] = ()
    """Classes of error; empty: all."""
    include_quarantined: bool = False

    def __post_init__(self) -> None:
        for code in self.only:
            if code not in VIDEO_ERROR_CODES:
                raise ConfigError(f"--only is {code!r}; allowed: {', '.join(VIDEO_ERROR_CODES)}")

    def wants(self, failure: RowFailure) -> bool:
        """Whether this row is tried again."""
        if self.only and failure.code not in self.only:
            return False
        return self.include_quarantined or not is_quarantined(failure)
