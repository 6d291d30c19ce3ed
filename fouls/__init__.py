"""fouls: decode every video once, push it once through a frozen backbone, train heads from the cache.

The three entry points of the Python interface load what they need only when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fouls.cache.store import Store as Store
    from fouls.cache.store import open_store as open_store
    from fouls.manifests.table import read_manifest as read_manifest
    from fouls.pipeline.backbones.loading import load_backbone as load_backbone

__version__ = "0.1.0"
__all__ = ["__version__", "load_backbone", "open_store", "read_manifest"]

_HOMES = {
    "open_store": "fouls.cache.store",
    "read_manifest": "fouls.manifests.table",
    "load_backbone": "fouls.pipeline.backbones.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fouls' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
