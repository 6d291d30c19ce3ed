"""A disk that takes no more, said in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fouls.errors import StoreError
from fouls.objects.location import Location

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def writing(store: Location) -> Iterator[None]:
    """Around whatever writes into a store.

    Raises:
        StoreError: the system refuses; names the reason and what to do.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(
            f"{store} can't be written ({reason}): {_advice(error)}; what is committed stays, and the same command "
            "goes on from there"
        ) from error


def _advice(error: OSError) -> str:
    if error.errno in _FULL:
        return "make room on its disk, or raise the quota"
    if error.errno in _FORBIDDEN:
        return "make it writable, or use another --out"
    return "look after the disk it lies on"
