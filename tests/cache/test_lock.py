"""The lock of a store on drives whose locks differ from those of a local disk."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from fouls.cache.lock import exclusive
from fouls.errors import StoreError

flock = fcntl.flock


def test_on_nfs_a_file_beside_the_store_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS refuses an exclusive lock on what is not open for writing: flock(2), "NFS details"."""

    def of_nfs(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    store = tmp_path / "videomae"
    with exclusive(store), pytest.raises(StoreError, match="another `fouls extract` is filling"), exclusive(store):
        pass
    with exclusive(store):
        pass
    assert list(store.iterdir()) == []


def test_a_drive_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_lustre(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", of_lustre)
    told = r"can't be locked \(Function not implemented\): mount its drive with locks"
    with pytest.raises(StoreError, match=told), exclusive(tmp_path / "videomae"):
        pass
