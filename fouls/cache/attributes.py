"""The attributes of a store's group: what stands there, and what of it is believed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fouls.cache.spec import Spec
from fouls.errors import ConfigError, DamagedStoreError, StoreError
from fouls.objects.location import Location

FORMAT_VERSION = 1
CHECKSUM = "checksum"
"""The attribute over all others. Stores that were made before it was thought of lack it."""
REQUIRED = frozenset({"format_version", "fingerprint", "spec", "block_rows", "pools", "made_by"})
RESERVED_NAMES = frozenset({"rows", "ledger"})
"""Members of a store that are no pool."""

_POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""One folder below the store, whatever wrote the attributes."""
_MAX_AXES = 8


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Attributes that were checked."""

    spec: Spec
    fingerprint: str
    pools: dict[str, tuple[int, ...]]
    block_rows: int
    made_by: dict[str, Any]
    grids: dict[str, tuple[int, int, int]]
    """Pool of tokens → (T', H, W), where the backbone tells; time varies slowest."""


def seal(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with the checksum over them."""
    return {**attributes, CHECKSUM: attributes_checksum(attributes)}


def attributes_checksum(attributes: Mapping[str, Any]) -> str:
    """``sha256:…`` of all attributes but the checksum itself, as JSON with sorted keys and no white space."""
    rest = {name: value for name, value in attributes.items() if name != CHECKSUM}
    return f"sha256:{_sha256_of_json(rest)}"


def is_sealed(attributes: Mapping[str, Any]) -> bool:
    """Whether there is a checksum, and it is the right one."""
    return attributes.get(CHECKSUM) == attributes_checksum(attributes)


def parse_attributes(attributes: Mapping[str, Any], path: Location) -> Attributes:
    """Check the attributes of the store at ``path``.

    Raises:
        StoreError: not a store, one of a newer format, or with a spec that this version of fouls does not know.
        DamagedStoreError: not what was written.
    """
    where = path / "zarr.json"
    missing = sorted(REQUIRED - attributes.keys())
    if missing:
        raise DamagedStoreError(
            f"{path} is not a store that fouls can read: {where} has no {', '.join(missing)}; use another --out"
        )
    _check_version(attributes, path)
    if _sha256_of_json(attributes["spec"]) != attributes["fingerprint"]:
        raise DamagedStoreError(
            f"the spec in {where} was altered: its fingerprint is not the one that stands there; "
            f"`fouls verify {path} --repair` mends it where a copy is left"
        )
    if not (is_sealed(attributes) if CHECKSUM in attributes else attributes.keys() <= REQUIRED):
        raise DamagedStoreError(
            f"{where} was altered: its checksum is not the one that stands there; `fouls verify {path} --repair` "
            "mends it where a copy is left"
        )
    try:
        spec = Spec.from_dict(attributes["spec"])
    except (ConfigError, AttributeError, ValueError) as error:  # whole, but not of this version
        raise StoreError(f"{path} is not a store that fouls can read ({error}): update fouls") from error
    return Attributes(
        spec=spec,
        fingerprint=attributes["fingerprint"],
        pools=_parse_pools(attributes["pools"], spec, path),
        block_rows=_parse_block_rows(attributes["block_rows"], path),
        made_by=_parse_made_by(attributes["made_by"], path),
        grids=_parse_grids(attributes.get("grids", {}), path),
    )


def _check_version(attributes: Mapping[str, Any], path: Location) -> None:
    version = attributes["format_version"]
    if not _is_whole_number(version, at_least=1):
        raise DamagedStoreError(f"{path} has format version {version!r}, which is none: restore {path / 'zarr.json'}")
    if version > FORMAT_VERSION:
        refused = f"{path} has format version {version}; this fouls reads up to {FORMAT_VERSION}: update it"
        if CHECKSUM in attributes and not is_sealed(attributes):
            raise DamagedStoreError(f"{refused}; or, for the checksum is wrong too, `fouls verify {path} --repair`")
        raise StoreError(refused)


def _parse_pools(pools: Any, spec: Spec, path: Location) -> dict[str, tuple[int, ...]]:
    if not isinstance(pools, dict) or sorted(pools) != list(spec.pools):
        raise DamagedStoreError(f"{path} is not a store that fouls can read: its pools are not those of its spec")
    for name, shape in pools.items():
        if not _POOL_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise StoreError(
                f"{path} has a pool named {name!r}, which could lead out of its folder: refused; "
                "allowed are letters, digits, '_' and '-'"
            )
        if not (isinstance(shape, list) and 0 < len(shape) <= _MAX_AXES and all(map(_is_length, shape))):
            raise DamagedStoreError(f"{path} is not a store that fouls can read: pool {name!r} has the shape {shape!r}")
    return {name: tuple(shape) for name, shape in pools.items()}


def _parse_block_rows(block_rows: Any, path: Location) -> int:
    if not _is_length(block_rows):
        raise DamagedStoreError(f"{path} is not a store that fouls can read: its blocks have {block_rows!r} rows")
    return int(block_rows)


def _parse_made_by(made_by: Any, path: Location) -> dict[str, Any]:
    if not isinstance(made_by, dict):
        raise DamagedStoreError(f"{path} is not a store that fouls can read: made_by is {made_by!r}")
    return dict(made_by)


def _parse_grids(grids: Any, path: Location) -> dict[str, tuple[int, int, int]]:
    if not isinstance(grids, dict) or not all(
        isinstance(grid, list) and len(grid) == 3 and all(map(_is_length, grid)) for grid in grids.values()
    ):
        raise DamagedStoreError(f"{path} is not a store that fouls can read: grids is {grids!r}")
    return {pool: (grid[0], grid[1], grid[2]) for pool, grid in grids.items()}


def _is_length(value: Any) -> bool:
    return _is_whole_number(value, at_least=1)


def _is_whole_number(value: Any, *, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _sha256_of_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
