"""Paths on object storage, with as much of :mod:`pathlib` as stores and manifests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from fouls.errors import ConfigError
from fouls.objects.client import ask, connect

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion
    from obstore.store import ObjectStore


class ObjectVersion(NamedTuple):
    """What tells one content of an object from the next; S3 goes by the ETag, Google by the version."""

    e_tag: str | None
    version: str | None


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    """What a storage tells of an object without handing it out."""

    size_bytes: int
    modified: datetime
    version: ObjectVersion
    """Both parts are missing where a server on https gives no ETag."""

    @property
    def modified_ns(self) -> int:
        """As a file's mtime, in nanoseconds."""
        return int(self.modified.timestamp()) * 10**9


@dataclass(frozen=True, order=True)
class ObjectPath:
    """A place below a bucket or host. There are no folders: every prefix of a key counts as one.

    A method that asks the storage raises :class:`fouls.errors.StorageError` when that can't be reached, or refuses.
    """

    root: str
    """``s3://bucket``"""
    key: str
    """``cache/videomae/zarr.json``; empty: the root itself."""
    listed: bool = field(default=False, compare=False, repr=False)
    """Whether a list has just named it as an object; then nobody is asked whether it is one."""

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def as_posix(self) -> str:
        """The URL."""
        return str(self)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> ObjectPath:
        """The place above; that of the root is itself."""
        return ObjectPath(self.root, self.key.rpartition("/")[0])

    def __truediv__(self, name: str) -> ObjectPath:
        return self.joinpath(name)

    def joinpath(self, *names: str) -> ObjectPath:
        """A place below."""
        return ObjectPath(self.root, "/".join(part for part in (self.key, *names) if part))

    def with_name(self, name: str) -> ObjectPath:
        """Another name at the same place."""
        return self.parent / name

    def relative_to(self, other: ObjectPath) -> PurePosixPath:
        """The way from a place above to here."""
        return PurePosixPath(self.key).relative_to(other.key)

    def absolute(self) -> ObjectPath:
        """Itself."""
        return self

    def resolve(self) -> ObjectPath:
        """Itself."""
        return self

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: there are no folders to make."""

    def is_symlink(self) -> bool:
        """No: there are no links."""
        return False

    def is_dir(self) -> bool:
        """Whether there are objects below. On https nothing can be listed: there every path is an object."""
        if self.listed or not self._can_be_listed:
            return False
        return ask(self._shown, lambda: next(iter(self._list()), None)) is not None

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        return self.listed or self.facts() is not None

    def exists(self) -> bool:
        """Whether there is an object of this name; a folder has none."""
        return self.is_file()

    def facts(self) -> ObjectFacts | None:
        """Size, time and ETag; ``None`` where there is no such object."""
        import obstore

        client, key = self._address()
        try:
            found = ask(self._shown, lambda: obstore.head(client, key))
        except FileNotFoundError:
            return None
        return _facts(found)

    def read_bytes(self) -> bytes:
        """The whole object.

        Raises:
            FileNotFoundError: there is none.
        """
        import obstore

        client, key = self._address()
        return ask(self._shown, lambda: obstore.get(client, key).bytes().to_bytes())

    def write_bytes(self, data: bytes) -> None:
        """Put an object: whole or not at all, and there when this returns. One that was there is replaced."""
        import obstore

        client, key = self._address()
        ask(self._shown, lambda: obstore.put(client, key, data, use_multipart=False))

    def download(self, target: Path) -> ObjectFacts:
        """Fill a file, which must be there, with the object; on the disk when this returns.

        Returns:
            What the storage tells of just this content.

        Raises:
            FileNotFoundError: there is no such object.
        """
        import obstore

        client, key = self._address()

        def fill() -> ObjectFacts:
            found = obstore.get(client, key)
            with target.open("r+b") as file:
                for part in found.stream():
                    file.write(part)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            return _facts(found.meta)

        return ask(self._shown, fill)

    def read_with_facts(self) -> tuple[bytes, ObjectFacts]:
        """The whole object, and what the storage tells of just this content.

        Raises:
            FileNotFoundError: there is none.
        """
        import obstore

        client, key = self._address()

        def read() -> tuple[bytes, ObjectFacts]:
            found = obstore.get(client, key)
            return found.bytes().to_bytes(), _facts(found.meta)

        return ask(self._shown, read)

    def create(self, data: bytes) -> ObjectVersion | None:
        """Put an object where there is none.

        Returns:
            What was made; ``None`` where there is one, which may be this one: a PUT whose answer is lost is repeated.
        """
        return self._put_if(data, "create")

    def replace(self, data: bytes, version: ObjectVersion) -> ObjectVersion | None:
        """Put an object in the place of this version; ``None`` where there is another, as :meth:`create`."""
        condition: UpdateVersion = {}
        if version.e_tag is not None:
            condition["e_tag"] = version.e_tag
        if version.version is not None:
            condition["version"] = version.version
        return self._put_if(data, condition)

    def _put_if(self, data: bytes, condition: PutMode) -> ObjectVersion | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        client, key = self._address()

        def put() -> ObjectVersion | None:
            try:
                made = obstore.put(client, key, data, mode=condition, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
            return ObjectVersion(made["e_tag"], made["version"])

        return ask(self._shown, put)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object. On S3 nobody says whether there was one."""
        import obstore

        client, key = self._address()
        try:
            ask(self._shown, lambda: obstore.delete(client, key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, target: ObjectPath) -> None:
        """Copy the object, then delete it: whoever looks meanwhile sees both, never none."""
        import obstore

        client, key = self._address()
        ask(self._shown, lambda: obstore.copy(client, key, target.key))
        self.unlink(missing_ok=True)

    def iterdir(self) -> Iterator[ObjectPath]:
        """What lies right below: objects, and prefixes of more."""
        import obstore

        self._check_listing()
        client = connect(self.root)
        found = ask(self._shown, lambda: obstore.list_with_delimiter(client, self.key or None))
        yield from (ObjectPath(self.root, prefix) for prefix in found["common_prefixes"])
        yield from (ObjectPath(self.root, meta["path"], True) for meta in found["objects"])

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """What lies right below and has a name like ``*.parquet``."""
        return (path for path in self.iterdir() if fnmatchcase(path.name, pattern))

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """All objects below, however deep, that have such a name."""
        found = (ObjectPath(self.root, key, True) for key in self.sizes())
        return (path for path in found if fnmatchcase(path.name, pattern))

    def sizes(self) -> dict[str, int]:
        """Key → bytes of all objects below."""
        return ask(self._shown, lambda: {meta["path"]: meta["size"] for some in self._list() for meta in some})

    def _list(self) -> Any:
        import obstore

        self._check_listing()
        return obstore.list(connect(self.root), self.key or None)

    @property
    def _shown(self) -> str:
        """What errors call it: without the query of an https URL, which may be a signature."""
        return str(self) if self._can_be_listed else str(self).partition("?")[0]

    @property
    def _can_be_listed(self) -> bool:
        return not self.root.startswith("https:")

    def _check_listing(self) -> None:
        if not self._can_be_listed:
            raise ConfigError(
                f"{self}: https can't be listed; a store or a folder must be on this machine, s3:// or gs://"
            )

    def _address(self) -> tuple[ObjectStore, str]:
        """Whom to ask, and for what. A key is as it is; a URL on https is quoted, and may have a query."""
        if self._can_be_listed:
            return connect(self.root), self.key
        path, question_mark, query = self.key.partition("?")
        if not question_mark:
            return connect(self.root), unquote(path)
        folder, _, name = path.rpartition("/")
        return connect(f"{self.root}/{folder}?{query}"), unquote(name)


def _facts(meta: ObjectMeta) -> ObjectFacts:
    return ObjectFacts(
        size_bytes=meta["size"],
        modified=meta["last_modified"],
        version=ObjectVersion(meta["e_tag"], meta["version"]),
    )
