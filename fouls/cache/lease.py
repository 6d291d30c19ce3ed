"""One run a store on object storage: an object there tells whose the store is, and is renewed while the run lives.

It is made with a PUT that succeeds only where there is none, and renewed and taken over with PUTs that succeed only
while it is as it was read: of two runs one gets it, whatever their clocks say. A run that was frozen and does not know
yet that it has lost its lease can at worst put a block once more: a whole PUT of the same bytes.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from fouls.errors import StorageError, StoreError
from fouls.objects.paths import ObjectPath, ObjectVersion

LEASE = "ledger/lease"
LEASE_SECONDS = 60.0
"""A lease that has not been renewed for so long may be taken over."""
RENEWAL_SECONDS = 15.0

_held: dict[ObjectPath, Lease] = {}
"""Store → the lease that this process has on it."""
_living: set[str] = set()
"""Tokens of this process's leases."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lease."""

    token: str
    """A run's own."""
    host: str
    pid: int
    machine: str | None
    """What tells this boot of this machine, and this container on it, from others; ``None`` where nothing does."""
    process_started: str | None
    """With the ``pid``: numbers of processes are used again."""
    since: str

    @classmethod
    def of_this_process(cls) -> Self:
        """A new one."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_machine(),
            process_started=_started(os.getpid()),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """The inverse of :meth:`to_json`; ``None`` of anything else."""
        try:
            plain: dict[str, Any] = json.loads(data)
            return cls(**{name: plain[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError):
            return None

    def to_json(self, renewals: int) -> bytes:
        """As JSON; each renewal has other bytes, so that it is another version."""
        return json.dumps({**asdict(self), "renewals": renewals}).encode()

    def is_dead(self) -> bool:
        """Whether it was a process on this machine, and is no more; or this one, which has let go of it."""
        if self.machine is None or self.machine != _machine():
            return False
        if _started(self.pid) != self.process_started:
            return True
        return self.pid == os.getpid() and self.token not in _living


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; ``None`` where there is no such process."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else fields[18]


def _now() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """What this process has on a store; a thread renews it.

    Args:
        store: the store's URL.

    Raises:
        StoreError: another run has it.
    """

    def __init__(self, store: ObjectPath) -> None:
        self.store = store
        self._place = store / LEASE
        self._owner = Owner.of_this_process()
        self._renewals = 0
        self._lost = False
        self._renewing = threading.Lock()
        self._ended = threading.Event()
        self._version = self._acquire()
        _living.add(self._owner.token)
        self._renewed = _now()
        self._thread = threading.Thread(target=self._keep, name="fouls-lease", daemon=True)
        self._thread.start()

    def check(self, *, renew: bool = False) -> None:
        """Make sure that the store is still this run's.

        Args:
            renew: ask the storage in any case, not only when the last renewal is some time ago.

        Raises:
            StoreError: another run has taken it over.
        """
        if renew or _now() - self._renewed > 2 * RENEWAL_SECONDS:
            self._renew()
        if self._lost:
            raise StoreError(
                f"another run has taken over {self.store}, since this one had not been heard of for "
                f"{LEASE_SECONDS:g} s: what is committed stays; wait for it, or stop it and start again"
            )

    def release(self) -> None:
        """Give it back. Where the storage is out of reach it is left to end by itself."""
        _living.discard(self._owner.token)
        self._ended.set()
        self._thread.join()
        with suppress(StorageError), self._renewing:
            if not self._lost and self._read()[0] == self._owner.token:
                self._place.unlink(missing_ok=True)

    def _acquire(self) -> ObjectVersion:
        data = self._owner.to_json(0)
        for _ in range(3):  # others may be faster
            token, version, age, owner = self._read()
            if token == self._owner.token:  # the answer to the PUT was lost
                return version
            if not token:
                made = self._place.create(data)
            else:
                if not (owner is not None and owner.is_dead()):
                    self._wait_for_end(owner, version, age)
                made = self._place.replace(data, version)
            if made is not None:
                return made
        raise StoreError(f"others are starting on {self.store} too: wait for them, or stop them and start again")

    def _wait_for_end(self, owner: Owner | None, version: ObjectVersion, age: timedelta) -> None:
        """Return when a lease is over. Clocks alone don't decide that: a living owner renews it meanwhile."""
        who = f"{owner.host}, process {owner.pid}, since {owner.since}" if owner is not None else "unknown"
        left = LEASE_SECONDS - age.total_seconds()
        if left <= 0:
            time.sleep(1.5 * RENEWAL_SECONDS)
            if self._read()[1] == version:
                return
        raise StoreError(
            f"another `fouls extract` is filling {self.store} ({who}): wait for it, or stop it and start again; "
            f"one that was killed loses its lease after {LEASE_SECONDS:g} s"
        )

    def _read(self) -> tuple[str, ObjectVersion, timedelta, Owner | None]:
        """Token, version, age and owner of the lease that is there; an empty token where there is none."""
        try:
            data, facts = self._place.read_with_facts()
        except FileNotFoundError:
            return "", ObjectVersion(None, None), timedelta(), None
        owner = Owner.from_json(data)
        return owner.token if owner else "unknown", facts.version, datetime.now(UTC) - facts.modified, owner

    def _renew(self) -> None:
        with self._renewing:
            if self._lost or self._ended.is_set():
                return
            self._renewals += 1
            made = self._place.replace(self._owner.to_json(self._renewals), self._version)
            if made is None:
                token, made, _, _ = self._read()
                if token != self._owner.token:
                    self._lost = True
                    return
            self._version, self._renewed = made, _now()

    def _keep(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            try:
                self._renew()
            except StorageError:
                continue  # the next commit says so; or it is back until then


@contextmanager
def leased(store: ObjectPath) -> Iterator[None]:
    """Hold a store's lease.

    Raises:
        StoreError: another run has it.
    """
    lease = Lease(store)
    _held[store] = lease
    try:
        yield
    finally:
        del _held[store]
        lease.release()


def check_lease(store: object, *, renew: bool = False) -> None:
    """Refuse to go on where this process had a lease on a store and has lost it.

    Raises:
        StoreError: it has.
    """
    if isinstance(store, ObjectPath) and store in _held:
        _held[store].check(renew=renew)
