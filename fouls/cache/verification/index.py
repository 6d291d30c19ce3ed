"""The row index: its files, their copies, and whether the rows make sense."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fouls.cache.index_files import COPY_SUFFIX, INDEX_FOLDER, copy_of, index_files, is_whole
from fouls.cache.rows import read_rows
from fouls.cache.verification.findings import Finding, Remedy
from fouls.errors import StoreError
from fouls.objects.location import Location


def check_index(path: Location, block_rows: int) -> tuple[pa.Table | None, list[Finding]]:
    """Check the row index.

    Returns:
        The rows, where they can be believed, and what is wrong.
    """
    findings = list(check_files(path))
    if any(finding.damage for finding in findings):
        return None, findings
    try:
        table, _ = read_rows(path)
    except StoreError as error:
        where = f"{INDEX_FOLDER}/*.parquet"
        return None, [*findings, Finding(kind="index", where=where, message=str(error), remedy="restore")]
    wrong = [
        Finding(kind="rows", where=f"{INDEX_FOLDER}/*.parquet", message=message, remedy="restore")
        for message in contradictions(table, block_rows)
    ]
    return (None if wrong else table), findings + wrong


def check_files(path: Location) -> Iterator[Finding]:
    """The bytes of every file of the index, and of its copy, against their name; and no number may be missing."""
    names = {file.name for file in index_files(path)} | {copy.name for copy in originals_of_copies(path)}
    for number, name in enumerate(sorted(names)):
        file = path / INDEX_FOLDER / name
        original, copy = _is_good(file), _is_good(copy_of(file))
        if not name.startswith(f"{number:08d}"):
            yield _found(name, f"file number {number:08d} of the index is lost, and its copy with it", "restore")
            return
        if not original:
            state = "damaged" if file.exists() else "lost"
            if copy:
                yield _found(name, f"{state}; its copy is whole", "repair")
            else:
                yield _found(name, f"{state}, and so is its copy: nobody knows whose features its rows are", "restore")
        elif "-" in name and not copy:
            lost = not copy_of(file).exists()  # as when the run was stopped between the two
            yield _found(name + COPY_SUFFIX, "missing" if lost else "damaged", "repair", damage=not lost)


def originals_of_copies(path: Location) -> list[Location]:
    """Where the files lie, or should, of which the index has copies."""
    copies: list[Location] = [*(path / INDEX_FOLDER).glob(f"*.parquet{COPY_SUFFIX}")]
    return [copy.with_name(copy.name.removesuffix(COPY_SUFFIX)) for copy in sorted(copies, key=str)]


def _is_good(file: Location) -> bool:
    try:
        return is_whole(file, file.read_bytes())
    except OSError:
        return False


def _found(name: str, message: str, remedy: Remedy, *, damage: bool = True) -> Finding:
    return Finding(kind="index", where=f"{INDEX_FOLDER}/{name}", message=message, remedy=remedy, damage=damage)


def contradictions(table: pa.Table, block_rows: int) -> Iterator[str]:
    """What can't be true of a row index."""
    numbers = table["row"].to_numpy()
    if not len(numbers):
        return
    steps = np.diff(numbers)
    if (steps == 0).any():
        yield f"row {numbers[1:][steps == 0][0]} is there twice"
    if numbers[0] < 0 or (steps < 0).any():
        yield f"rows don't ascend from 0: {numbers[0] if numbers[0] < 0 else numbers[1:][steps < 0][0]}"
    skipped = numbers[1:][(steps > 1) & (numbers[1:] % block_rows != 0)]
    if len(skipped):
        yield f"row {skipped[0]} comes after a gap and does not begin a block"
    lacking = pc.and_(pc.is_null(table["frame_indices"]), pc.is_null(table["plan_error"]))
    if pc.any(lacking).as_py():
        yield f"row {table['row'].filter(lacking)[0].as_py()} has neither frames nor a reason why not"
