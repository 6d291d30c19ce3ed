"""Files below a store that are not part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fouls.cache.index_files import COPY_SUFFIX, INDEX_FOLDER
from fouls.cache.lease import LEASE
from fouls.cache.ledger import LEDGER_FOLDER, RECORD_NAME
from fouls.cache.store import Store
from fouls.cache.verification.findings import Finding
from fouls.files import PARTIAL_SUFFIX
from fouls.objects.location import Location, below

ASIDE_SUFFIX = ".broken"
"""Ending of what ``--repair`` sets aside."""


def check_files(store: Store, num_blocks: int | None) -> Iterator[Finding]:
    """Everything below a store that is not part of it.

    Args:
        store: where.
        num_blocks: by the index; ``None`` where that can't be read.
    """
    patterns = _patterns(store)
    paths: list[Location] = [*store.path.rglob("*")]
    for path in sorted(paths, key=str):
        name = below(store.path, path)
        if path.is_symlink():
            yield _stray(name, "a link: fouls writes through none inside a store")
        elif path.is_dir():
            continue
        elif name.endswith(PARTIAL_SUFFIX):
            yield Finding(kind="unfinished", where=name, message="half written", remedy="extract", damage=False)
        elif name.endswith(ASIDE_SUFFIX):
            yield _stray(name, "set aside by --repair; remove it when it is of no use")
        elif not any(pattern.fullmatch(name) for pattern in patterns):
            yield _stray(name, "no part of a store")
        elif num_blocks is not None and _block_of(path, store) >= num_blocks:
            message = f"belongs to no row: the index has {num_blocks} blocks, or has lost a file"
            yield Finding(kind="chunk", where=name, message=message, remedy="restore")


def _patterns(store: Store) -> list[re.Pattern[str]]:
    index = rf"{INDEX_FOLDER}/\d{{8}}(-[0-9a-f]{{16}})?\.parquet({re.escape(COPY_SUFFIX)})?"
    groups = rf"(({INDEX_FOLDER}|{LEDGER_FOLDER})/)?zarr\.json"
    arrays = [rf"{pool}/(zarr\.json|c/(0|[1-9]\d*){'/0' * len(shape)})" for pool, shape in store.pools.items()]
    records = rf"{LEDGER_FOLDER}/{RECORD_NAME.pattern}"
    return [re.compile(pattern) for pattern in (index, groups, records, LEASE, *arrays)]


def _block_of(path: Location, store: Store) -> int:
    """The block of a chunk; -1 of another file."""
    parts = below(store.path, path).split("/")
    return int(parts[2]) if len(parts) > 2 else -1


def _stray(name: str, message: str) -> Finding:
    return Finding(kind="file", where=name, message=message, remedy="look", damage=False)
