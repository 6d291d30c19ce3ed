"""One planner a store: whoever plans and fills it holds a lock that the system drops when the process dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fouls.cache.disk import writing
from fouls.errors import StoreError


@contextmanager
def exclusive(store: Path) -> Iterator[None]:
    """Hold a store's lock. It is on the folder itself, so that nothing is left behind, whatever dies.

    Raises:
        StoreError: another process on this machine is filling the store, or its folder can't be made.
    """
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
