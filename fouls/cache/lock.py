"""One planner a store: whoever plans and fills it holds a lock that the system drops when the process dies."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fouls.cache.disk import writing
from fouls.cache.lease import leased
from fouls.errors import StoreError
from fouls.objects.location import Location
from fouls.objects.paths import ObjectPath


@contextmanager
def exclusive(store: Location) -> Iterator[None]:
    """Hold a store's lock. It is on the folder itself, so that nothing is left behind, whatever dies.

    On NFS it is on an empty file beside the folder, which stays there.
    A store on object storage has a lease instead, which ends a minute after the death of its owner.

    Raises:
        StoreError: another process is filling the store, or its folder can't be made or locked.
    """
    if isinstance(store, ObjectPath):
        with leased(store):
            yield
        return
    if sys.platform == "win32":  # folders can't be locked there
        yield
        return
    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        try:
            try:
                _lock(opened, store, os.O_RDONLY)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                # NFS makes an exclusive lock only on what is open for writing, which a folder can't be.
                _lock(opened, store.with_name(f".{store.name}.lock"), os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            raise StoreError(
                f"another `fouls extract` is filling {store}: wait for it, or stop it and start again"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{store} can't be locked ({os.strerror(error.errno or 0)}): mount its drive with locks (Lustre: -o "
                "flock), or use another --out"
            ) from error
        yield


def _lock(opened: ExitStack, path: Path, flags: int) -> None:
    import fcntl

    descriptor = os.open(path, flags, 0o666)
    opened.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
