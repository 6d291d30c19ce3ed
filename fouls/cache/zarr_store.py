"""What Zarr is given to open: a folder as it is, object storage through obstore, with errors that say what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from fouls.objects.client import ask_async, connect
from fouls.objects.location import Location

T = TypeVar("T")


def zarr_store(path: Location) -> Path | Store:
    """What lies at a path, for :func:`zarr.open_group`.

    Raises:
        ConfigError: a URL, and what it needs is not installed.
    """
    if isinstance(path, Path):
        return path
    url = str(path)
    client: Any = connect(url)
    from zarr.storage import ObjectStore

    return _AskingStore(ObjectStore(client), url)


class _AskingStore(WrapperStore[Any]):  # type: ignore[misc] # zarr is not followed
    """Tries cut requests again, and raises :class:`fouls.errors.StorageError` for what is no answer.

    Without it Zarr's users would take a network that is down for a chunk that is damaged.
    """

    def __init__(self, store: Any, url: str) -> None:
        super().__init__(store)
        self._url = url

    def _with_store(self, store: Any) -> _AskingStore:
        return _AskingStore(store, self._url)

    async def _ask(self, key: str, request: Callable[[], Awaitable[T]]) -> T:
        return await ask_async(f"{self._url}/{key}", request)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """A chunk or document; ``None`` where there is none."""
        try:
            return await self._ask(key, lambda: self._store.get(key, prototype, byte_range))
        except FileNotFoundError:
            return None

    async def exists(self, key: str) -> bool:
        """Whether it is there."""
        return await self._ask(key, lambda: self._store.exists(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Put it whole."""
        await self._ask(key, lambda: self._store.set(key, value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Put it whole where there is none."""
        await self._ask(key, lambda: self._store.set_if_not_exists(key, value))

    async def delete(self, key: str) -> None:
        """Remove it."""
        await self._ask(key, lambda: self._store.delete(key))
