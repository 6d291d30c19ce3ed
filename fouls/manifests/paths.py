"""The ``path`` column of a manifest, made absolute."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from fouls.manifests.schema import ROOT_KEY, URL_PATTERN


def resolved_paths(table: pa.Table) -> pa.ChunkedArray:
    """The ``path`` column with every relative path below the manifest's root; URLs and absolute paths pass through."""
    root = table.schema.metadata.get(ROOT_KEY)
    if root is None:
        return table["path"]
    below = pc.binary_join_element_wise(root.decode().removesuffix("/"), table["path"], "/")
    return pc.if_else(stands_alone(table["path"]), table["path"], below)


def stands_alone(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which paths need no root: URLs, and those that begin with ``/``."""
    return pc.or_(pc.starts_with(paths, "/"), pc.match_substring_regex(paths, f"^{URL_PATTERN}"))
