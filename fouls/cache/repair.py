"""Mending a store: from its copies where there are some, else by putting broken blocks back to "to do".

Nothing that is damaged is thrown away: it is set aside under a name that ends in ``.broken``. Nothing that is whole is
lost: of a block whose record is damaged the values are still in the arrays, each chunk with its CRC-32C, and rows that
are whole in every pool are done.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from fouls.cache.attributes import is_sealed
from fouls.cache.blocks import checksum, finite_rows, read_chunk
from fouls.cache.disk import writing
from fouls.cache.index_files import COPY_SUFFIX, INDEX_FOLDER, copy_of
from fouls.cache.ledger import BlockRecord, commit, read_record, record_path, to_ranges
from fouls.cache.links import refuse_links
from fouls.cache.lock import exclusive
from fouls.cache.rows import read_rows
from fouls.cache.store import Store, open_store
from fouls.cache.verification.blocks import Planned
from fouls.cache.verification.findings import Finding, VerifyReport
from fouls.cache.verification.strays import ASIDE_SUFFIX
from fouls.cache.verification.structure import ZARR, array_document, read_group, whole_copy
from fouls.cache.verify import verify
from fouls.files import move, write_atomically
from fouls.objects.location import Location, location

MAX_PASSES = 4
"""A pass mends what the next one needs to look further: attributes, then members and index, lengths, blocks."""
_FRAME = ("attributes", "index", "member", "length")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """What a repair did."""

    mended: tuple[str, ...]
    """What was done, a line each."""
    report: VerifyReport
    """What is wrong now."""


def repair(store: str | Location, check: Callable[[Location], VerifyReport] = verify) -> Repair:
    """Mend what can be mended, with the store locked.

    Args:
        store: its folder or URL.
        check: verifies it, once before and after each pass.

    Raises:
        StoreError: no store there, a newer one, one that is being filled, or one that can't be written.
    """
    path = location(store)
    if not path.is_dir():
        open_store(path)  # says that there is none
    mended: list[str] = []
    with exclusive(path):
        report = check(path)
        for _ in range(MAX_PASSES):
            kinds = _FRAME[:2] if _index_is_lost(report) else _FRAME
            frame = [finding for finding in report.repairable if finding.kind in kinds]
            if not report.repairable or (_index_is_lost(report) and not frame):
                break
            with writing(path):
                for kind in _FRAME:
                    mended += [_mend_frame(path, finding) for finding in frame if finding.kind == kind]
                if not frame:
                    mended += _mend_blocks(path, report.repairable)
            report = check(path)
    return Repair(mended=tuple(mended), report=report)


def _index_is_lost(report: VerifyReport) -> bool:
    """Whether nobody knows any more which rows there are; then blocks are better left as they are."""
    return any(finding.kind in ("index", "rows") and finding.remedy == "restore" for finding in report.findings)


def _mend_frame(path: Location, finding: Finding) -> str:
    file = path / finding.where
    refuse_links(path, file.parent)
    if finding.kind == "index":
        if file.name.endswith(COPY_SUFFIX):
            original = file.with_name(file.name.removesuffix(COPY_SUFFIX))
            write_atomically(file, original.read_bytes())
            return f"{finding.where}: written again"
        write_atomically(file, copy_of(file).read_bytes())
        return f"{finding.where}: restored from its copy"
    if finding.where == ZARR:
        _write_json(file, _group_document(whole_copy(path)))
        return f"{finding.where}: restored from the copy in {INDEX_FOLDER}/{ZARR}"
    file.parent.mkdir(exist_ok=True)
    store = open_store(path)
    name = file.parent.name
    if name in store.pools:
        rows, _ = read_rows(path)
        document = array_document(store, name)
        document["shape"] = [Planned.of(rows, store.block_rows).num_rows, *document["shape"]]
        _write_json(file, {**document, "attributes": {}})
    else:
        attributes = read_group(path / ZARR) or {}
        _write_json(file, _group_document(attributes if name == INDEX_FOLDER and is_sealed(attributes) else None))
    return f"{finding.where}: written again"


def _group_document(attributes: dict[str, Any] | None) -> dict[str, Any]:
    return {"attributes": attributes or {}, "zarr_format": 3, "node_type": "group"}


def _write_json(path: Location, document: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(document, indent=2).encode())


def _mend_blocks(path: Location, findings: tuple[Finding, ...]) -> list[str]:
    store = open_store(path)
    lines = []
    for finding in findings:
        if finding.kind == "record" and finding.block is not None:
            lines.append(_rebuild_record(store, finding.where, finding.block))
        elif finding.kind == "chunk" and finding.block is not None:
            lines.append(_discard_chunk(store, finding.where, finding.block))
    return lines


def _rebuild_record(store: Store, where: str, block: int) -> str:
    """Set a record aside, and write one of the rows that can be read back whole."""
    rows, _ = read_rows(store.path)
    planned = Planned.of(rows, store.block_rows)
    set_aside(record_path(store.path, block))
    chunks = {pool: read_chunk(store[pool], block) for pool in store.pools}
    values = {pool: chunk for pool, chunk in chunks.items() if chunk is not None}
    candidates = sorted(planned.in_block(block) - planned.hopeless)
    start = block * store.block_rows
    done = np.array(candidates, dtype=np.int64)
    if len(values) < len(store.pools):
        done = done[:0]
    for chunk in values.values():
        done = done[finite_rows(chunk[done - start])]
    if len(done):
        checksums = {pool: checksum(chunk[done - start]) for pool, chunk in values.items()}
        commit(store.path, BlockRecord(block=block, done=to_ranges(done.tolist()), checksums=checksums))
    left = len(planned.in_block(block)) - len(done)
    return f"{where}: set aside; {len(done)} rows of its block could be read back whole and are done, {left} are to do"


def _discard_chunk(store: Store, where: str, block: int) -> str:
    """Put a block's rows back to "to do", its failures kept, and set the chunk aside."""
    record = read_record(store.path, block)
    rows = 0
    if record is not None:
        rows = sum(stop - start for start, stop in record.done)
        commit(store.path, dataclasses.replace(record, done=[], decoders={}, checksums={}))
    set_aside(store.path / where)
    return f"{where}: set aside; {rows} rows of block {block} are to do again"


def set_aside(path: Location) -> None:
    """Rename a file, where it is there, so that nothing takes it for a part of the store."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}{ASIDE_SUFFIX}")).exists():
        number += 1
    if path.exists():
        move(path, aside)
