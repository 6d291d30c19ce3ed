"""The files of the row index as bytes: their names, which carry a checksum, and a copy of each.

Without the index nobody knows whose features the arrays hold, and nothing else in a store says it again. So it is the
one part that is written twice.
"""

from __future__ import annotations

import hashlib
import re

from fouls.cache.disk import writing
from fouls.cache.lease import check_lease
from fouls.cache.ledger import record_files
from fouls.cache.links import refuse_links
from fouls.errors import DamagedStoreError
from fouls.files import write_atomically
from fouls.objects.location import Location

INDEX_FOLDER = "rows"
COPY_SUFFIX = ".copy"

_NAME = re.compile(r"(?P<number>\d{8})(?:-(?P<digest>[0-9a-f]{16}))?\.parquet")
"""The digest is missing in stores that were made before it was thought of."""


def index_files(store: Location) -> list[Location]:
    """The files of the row index, in the order in which they were planned."""
    return sorted((store / INDEX_FOLDER).glob("*.parquet"), key=str)


def write_index_file(store: Location, data: bytes) -> Location:
    """Add a file to the index, and then its copy; both are on the disk when this returns.

    Raises:
        StoreError: the index lies behind a link, or the disk takes no more.
    """
    folder = store / INDEX_FOLDER
    refuse_links(store, folder)
    path = folder / f"{len(index_files(store)):08d}-{digest(data)}.parquet"
    check_lease(store, renew=True)
    with writing(store):
        write_atomically(path, data)
        write_atomically(copy_of(path), data)
    return path


def read_index_files(store: Location) -> list[tuple[Location, bytes]]:
    """All files of the index, checked against their names.

    Raises:
        DamagedStoreError: one is not what was written, or is gone.
    """
    files = index_files(store)
    there = {path.name for path in files}
    copies: list[Location] = [*(store / INDEX_FOLDER).glob(f"*.parquet{COPY_SUFFIX}")]
    for copy in sorted(copies, key=str):
        if copy.name.removesuffix(COPY_SUFFIX) not in there:
            raise DamagedStoreError(
                f"{copy.with_name(copy.name.removesuffix(COPY_SUFFIX))} is lost: `fouls verify {store} --repair` "
                "restores it from its copy"
            )
    for number, path in enumerate(files):
        name = _NAME.fullmatch(path.name)
        if name is None or int(name["number"]) != number:
            raise DamagedStoreError(
                f"{path} should be the file number {number:08d} of the row index: one is lost or was renamed; "
                f"`fouls verify {store} --repair` mends it where a copy is left"
            )
    return [(path, _read_checked(path, store)) for path in files]


def _read_checked(path: Location, store: Location) -> bytes:
    data = path.read_bytes()
    if not is_whole(path, data):
        raise DamagedStoreError(
            f"{path} is damaged (its checksum is not the one in its name): `fouls verify {store} --repair` mends it "
            "where a copy is left"
        )
    return data


def refuse_lost_index(store: Location, last_row: int, block_rows: int) -> None:
    """Refuse to plan rows that the ledger knows already: the index has lost its end, and their numbers are taken.

    Args:
        store: the store's folder.
        last_row: of the index; -1 when it is empty.
        block_rows: rows a block.

    Raises:
        DamagedStoreError: there are records of blocks after that row.
    """
    records = [path for path in record_files(store) if path.stem.isdecimal()]
    beyond = [path for path in records if int(path.stem) > last_row // block_rows]
    if beyond:
        raise DamagedStoreError(
            f"{store} has {beyond[0].name} in its ledger, and its row index ends before: a file of the index is lost; "
            f"restore {store / INDEX_FOLDER} from a backup, or extract into another --out"
        )


def is_whole(path: Location, data: bytes) -> bool:
    """Whether a file's bytes, or its copy's, are those that its name tells; true where the name tells nothing."""
    name = _NAME.fullmatch(path.name.removesuffix(COPY_SUFFIX))
    return name is not None and name["digest"] in (None, digest(data))


def copy_of(path: Location) -> Location:
    """Where the copy of a file of the index lies."""
    return path.with_name(path.name + COPY_SUFFIX)


def digest(data: bytes) -> str:
    """The first 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
