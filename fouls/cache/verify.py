"""Is the store whole? Every done row is read back and compared with its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fouls.cache.blocks import load_done
from fouls.cache.store import Store


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What :func:`verify` found."""

    blocks: int
    """Blocks read."""
    damaged: tuple[int, ...]
    """Blocks whose done rows are not what their record says."""
    rows_short: int
    """Rows of the index for which an array has no room."""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damaged and not self.rows_short


def verify(store: Store, on_block: Callable[[int], None] = lambda _: None) -> VerifyReport:
    """Compare the checksum of every block's done rows with the ledger, and the arrays' lengths with the index.

    Raises:
        StoreError: the index or a record can't be read.
    """
    numbers = store.rows()["row"].to_numpy()
    needed = int(numbers[-1]) + 1 if len(numbers) else 0
    short = max(needed - store[pool].shape[0] for pool in store.pools)
    damaged = []
    ledger = store.ledger()
    for record in ledger:
        if record.checksums and load_done(store, record) is None:
            damaged.append(record.block)
        on_block(1)
    return VerifyReport(blocks=len(ledger), damaged=tuple(damaged), rows_short=max(0, short))
