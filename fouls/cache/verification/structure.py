"""The frame of a store: the attributes and their copy, the members' ``zarr.json``, the lengths of the arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fouls.cache.attributes import is_sealed, parse_attributes
from fouls.cache.index_files import INDEX_FOLDER
from fouls.cache.layout import dimension_names
from fouls.cache.ledger import LEDGER_FOLDER, record_files
from fouls.cache.store import Store, open_store
from fouls.cache.verification.findings import Finding, Remedy
from fouls.errors import DamagedStoreError, StoreError
from fouls.objects.location import Location

ZARR = "zarr.json"
_GROUP = {"zarr_format": 3, "node_type": "group"}


def check_attributes(path: Location) -> tuple[Store | None, list[Finding]]:
    """Open a store, and compare its attributes with their copy.

    Returns:
        The store, where its attributes can be believed, and what is wrong with them.

    Raises:
        StoreError: no store there, or one of a newer format.
    """
    copy = whole_copy(path)
    try:
        if not (path / ZARR).exists() and copy is not None:
            raise DamagedStoreError(f"{path / ZARR} is gone")
        store = open_store(path)
        wrong = wrong_members(read_document(path / ZARR), _GROUP)
        if wrong:
            raise DamagedStoreError(f"wrong: {', '.join(wrong)}")
    except DamagedStoreError as error:
        if copy is None:
            return None, [Finding(kind="attributes", where=ZARR, message=str(error), remedy="restore")]
        message = f"not what was written there ({error}); the copy in {INDEX_FOLDER}/{ZARR} is whole"
        return None, [Finding(kind="attributes", where=ZARR, message=message, remedy="repair")]
    attributes = read_group(path / ZARR)
    if attributes is not None and is_sealed(attributes) and copy != attributes and _exists(path, INDEX_FOLDER):
        message = "not the copy of the store's attributes that was written there"
        return store, [Finding(kind="attributes", where=f"{INDEX_FOLDER}/{ZARR}", message=message, remedy="repair")]
    return store, []


def whole_copy(path: Location) -> dict[str, Any] | None:
    """The copy of a store's attributes, where there is one that can be believed."""
    copy = read_group(path / INDEX_FOLDER / ZARR)
    if copy is None or not is_sealed(copy):
        return None
    try:
        parse_attributes(copy, path)
    except StoreError:
        return None
    return copy


def read_group(path: Location) -> dict[str, Any] | None:
    """The attributes in a group's ``zarr.json``; ``None`` where that is not one."""
    document = read_document(path)
    if document is None or document.get("zarr_format") != 3 or document.get("node_type") != "group":
        return None
    attributes = document.get("attributes")
    return attributes if isinstance(attributes, dict) else None


def check_members(store: Store) -> Iterator[Finding]:
    """The ``zarr.json`` of every pool, of ``rows`` and of ``ledger``, against what the attributes say."""
    started = bool(record_files(store.path))
    for name in (INDEX_FOLDER, LEDGER_FOLDER, *store.pools):
        where = f"{name}/{ZARR}"
        if not _exists(store.path, name):
            yield Finding(
                kind="member" if started else "unfinished",
                where=where,
                message="missing",
                remedy="repair" if started else "extract",
                damage=started,
            )
        elif name in store.pools:
            wrong = wrong_members(read_document(store.path / name / ZARR), array_document(store, name))
            if wrong:
                yield Finding(kind="member", where=where, message=f"wrong: {', '.join(wrong)}", remedy="repair")
        else:
            document = read_document(store.path / name / ZARR)
            wrong = wrong_members(document, _GROUP)
            if wrong:
                yield Finding(kind="member", where=where, message=f"wrong: {', '.join(wrong)}", remedy="repair")


def array_document(store: Store, pool: str) -> dict[str, Any]:
    """What the ``zarr.json`` of a pool says but for its number of rows, as ``docs/store.md`` has it."""
    shape = list(store.pools[pool])
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": store.spec.stored_dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [store.block_rows, *shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "dimension_names": list(dimension_names(len(shape))),
    }


_OPTIONAL: dict[str, tuple[Any, ...]] = {"storage_transformers": ([],), "consolidated_metadata": (None,)}
"""Members that say nothing, and what they then hold; ``attributes`` are the user's."""


def wrong_members(document: dict[str, Any] | None, expected: dict[str, Any]) -> list[str]:
    """The members of a ``zarr.json`` that are not as expected."""
    if document is None:
        return ["no JSON object"]
    found = {**document, "codecs": [_codec(codec) for codec in document.get("codecs", [])]}
    if "shape" in expected:
        shape = found.get("shape")
        rows_and_rest = isinstance(shape, list) and shape and isinstance(shape[0], int) and shape[0] >= 0
        found["shape"] = shape[1:] if rows_and_rest and shape else None
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    for name, value in document.items():
        if name not in expected and name != "attributes" and value not in _OPTIONAL.get(name, ()):
            wrong.append(name)
    return wrong


def _codec(codec: Any) -> Any:
    """A codec without a configuration that says nothing."""
    if isinstance(codec, dict) and codec.get("configuration") == {}:
        return {name: value for name, value in codec.items() if name != "configuration"}
    return codec


def check_lengths(store: Store, needed: int, *, last_done: int, more_is_stored: bool) -> Iterator[Finding]:
    """The arrays' rows against those of the index.

    Args:
        store: with arrays whose ``zarr.json`` is right.
        needed: rows of the index, those between that were skipped among them.
        last_done: the row after the last one that is done.
        more_is_stored: there are chunks or records of blocks that the index does not have.
    """
    for pool in store.pools:
        rows = store[pool].shape[0]
        if rows == needed:
            continue
        growing = last_done <= rows < needed  # as between the index and the arrays of a planning
        remedy: Remedy = "repair"
        if growing:
            remedy = "extract"
        elif rows > needed and more_is_stored:
            remedy = "restore"
        yield Finding(
            kind="unfinished" if growing else "length",
            where=f"{pool}/{ZARR}",
            message=f"{rows} rows, where the index has {needed}",
            remedy=remedy,
            damage=not growing,
        )


def _exists(path: Location, name: str) -> bool:
    return (path / name / ZARR).exists()


def read_document(path: Location) -> dict[str, Any] | None:
    """The JSON object in a file; ``None`` where that is not one."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
