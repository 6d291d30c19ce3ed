"""Is the store whole? Every part is read back and held against what was written, and against the others."""

from __future__ import annotations

from collections.abc import Callable

from fouls.cache.index_files import index_files
from fouls.cache.store import Store
from fouls.cache.verification.blocks import Planned, check_chunks, check_records, stored_blocks
from fouls.cache.verification.findings import VerifyReport
from fouls.cache.verification.index import check_index
from fouls.cache.verification.strays import check_files
from fouls.cache.verification.structure import check_attributes, check_lengths, check_members
from fouls.objects.location import Location, location


def verify(store: Store | str | Location, on_block: Callable[[int], None] = lambda _: None) -> VerifyReport:
    """Check attributes, members, row index, ledger and arrays: their checksums, and one against the other.

    Reads the whole store and writes nothing; a run that fills the store meanwhile does it no harm.

    Args:
        store: a store, or the folder of one that may be too damaged to be opened.
        on_block: called with 1 for each block that was read.

    Raises:
        StoreError: no store there, or one of a newer format.
    """
    path = store.path if isinstance(store, Store) else location(store)
    while True:
        planned = index_files(path)
        report = _verify(path, on_block)
        if index_files(path) == planned:  # else blocks may have come that the index did not have when it was read
            return report


def _verify(path: Location, on_block: Callable[[int], None]) -> VerifyReport:
    opened, findings = check_attributes(path)
    if opened is None:
        return VerifyReport(blocks=0, findings=tuple(findings))
    members = list(check_members(opened))
    table, wrong = check_index(path, opened.block_rows)
    planned = None if table is None else Planned.of(table, opened.block_rows)
    records, broken = check_records(opened, planned)
    findings += [*members, *wrong, *broken]
    blocks: list[int] = []
    if not members:  # without its zarr.json an array can't be read
        held = stored_blocks(opened) | {record.block for record in records}
        if planned is not None:
            last = max((stop for record in records for _, stop in record.done), default=0)
            beyond = (
                any(finding.remedy == "restore" for finding in broken) or max(held, default=-1) >= planned.num_blocks
            )
            findings += check_lengths(opened, planned.num_rows, last_done=last, more_is_stored=beyond)
            held = {block for block in held if block < planned.num_blocks}
        blocks = sorted(held - {finding.block for finding in broken})  # else there is nothing to compare with
        findings += check_chunks(opened, records, blocks, on_block)
    findings += check_files(opened, None if planned is None else planned.num_blocks)
    return VerifyReport(blocks=len(blocks), findings=tuple(findings))
