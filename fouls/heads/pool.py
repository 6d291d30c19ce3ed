"""Which pool of a store a head reads."""

from __future__ import annotations

from collections.abc import Sequence

from fouls.cache.store import Store
from fouls.errors import ConfigError


def choose_pool(store: Store, pool: str | None, *, preferred: Sequence[str] = (), tokens: bool = False) -> str:
    """The pool to read.

    Args:
        store: what there is.
        pool: the one that was asked for; ``None``: the only one that heads can read, or of several the first of
            ``preferred``, else the vector a clip that the backbones have by default: ``cls`` of MViT, ``mean`` of the
            others.
        preferred: what the head rather reads.
        tokens: the head can read ``tokens``.

    Raises:
        ConfigError: the store does not have it, heads can't read it, or several are there and none is the default.
    """
    if pool is not None:
        check_pool(store, pool, tokens=tokens)
        return pool
    readable = readable_pools(store, tokens=tokens)
    order = [*preferred, *(["cls", "mean"] if store.spec.backbone.startswith("mvit") else ["mean", "cls"])]
    candidates = readable if len(readable) == 1 else [name for name in order if name in readable]
    if candidates:
        return candidates[0]
    if not readable:
        check_pool(store, next(iter(store.pools)), tokens=tokens)
    raise ConfigError(f"{store.path} has several pools: choose one with --pool: {', '.join(readable)}")


def readable_pools(store: Store, *, tokens: bool = False) -> list[str]:
    """The pools that heads can read: with a vector a clip, ``temporal``, and for some heads ``tokens``."""
    named = ("temporal", "tokens") if tokens else ("temporal",)
    return [str(name) for name, shape in store.pools.items() if len(shape) == 1 or name in named]


def check_pool(store: Store, pool: str, *, tokens: bool = False) -> None:
    """Refuse a pool that heads can't read.

    Raises:
        ConfigError: so it is, or the store does not have it.
    """
    readable = readable_pools(store, tokens=tokens)
    if pool not in store.pools:
        raise ConfigError(f"pool {pool!r} is not in {store.path}; it has {', '.join(store.pools)}")
    if pool == "tokens" and pool not in readable:
        known = ", ".join(readable) or "none here: extract with --pool temporal"
        raise ConfigError(f"pool 'tokens' has steps in space, which this head does not read; readable: {known}")
    if pool not in readable:
        shape = " × ".join(map(str, store.pools[pool]))
        known = ", ".join(readable) or "none here: extract with --pool temporal"
        raise ConfigError(f"pool {pool!r} ({shape}) has no time axis that heads can read; readable: {known}")
