"""One planner a store: whoever plans and fills it holds a lock that the system drops when the process dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fouls.cache.disk import writing
from fouls.cache.lease import leased
from fouls.errors import StoreError
from fouls.objects.location import Location
from fouls.objects.paths import ObjectPath


@contextmanager
def exclusive(store: Location) -> Iterator[None]:
    """Hold a store's lock. It is on the folder itself, so that nothing is left behind, whatever dies.

    A store on object storage has a lease instead, which ends a minute after the death of its owner.

    Raises:
        StoreError: another process is filling the store, or its folder can't be made.
    """
    if isinstance(store, ObjectPath):
        with leased(store):
            yield
        return
    if sys.platform == "win32":  # folders can't be locked there
        yield
        return
    import fcntl

    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(store, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another `fouls extract` is filling {store}: wait for it, or stop it and start again"
            ) from None
        yield
    finally:
        os.close(descriptor)
