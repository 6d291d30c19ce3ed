"""Manifests on disk: read one file or a folder of them, write atomically, and what can be asked of the table."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fouls.errors import ManifestError
from fouls.manifests.keypoints import digest_of, keypoints_of
from fouls.manifests.merge import merge_tables
from fouls.manifests.paths import resolved_paths
from fouls.manifests.schema import (
    FRAME_LABEL_PREFIX,
    KEYPOINTS_COLUMN,
    LABEL_PREFIX,
    MULTI_LABEL_PREFIX,
    ROOT_KEY,
    TASKS_KEY,
    VERSION_KEY,
    TaskKind,
)
from fouls.manifests.validation import check_version, validate
from fouls.objects.location import Location, location
from fouls.objects.paths import ObjectPath

__all__ = [
    "absolute_paths",
    "fingerprint_of",
    "keypoints_of",
    "kind_of",
    "manifest_files",
    "read_manifest",
    "root_of",
    "tasks_of",
    "validate",
    "write_manifest",
]

_NOT_CONTENT = ("modified_ns",)
_BUILD_HINT = "`fouls manifest build SOURCE --format FORMAT` makes one"


def manifest_files(path: str | Location) -> list[Location]:
    """The Parquet files that a manifest path stands for: itself, or every ``*.parquet`` of a folder, sorted.

    Raises:
        ManifestError: nothing is there.
    """
    path = location(path)
    if path.is_dir():
        found: list[Location] = [*path.glob("*.parquet")]
        files = sorted((file for file in found if not file.name.startswith(".")), key=str)
        if not files:
            raise ManifestError(f"{path}: no manifest (*.parquet) in this folder; {_BUILD_HINT}")
        return files
    if not path.exists():
        raise ManifestError(f"{path}: no such manifest; {_BUILD_HINT}")
    return [path]


def read_manifest(path: str | Location = "manifests") -> pa.Table:
    """Read and validate one manifest, or every manifest of a folder as one.

    In a folder the files follow each other by name. Where their roots differ, paths are made absolute; tasks are
    merged; a label column that a file lacks is null there.

    Args:
        path: a Parquet file, or a folder of them; also the URL of one.

    Returns:
        The table, with the columns of :data:`fouls.manifests.schema.BASE_FIELDS`, one for each task and one for the
        keypoints, where there are any; :func:`tasks_of`, :func:`keypoints_of` and :func:`root_of` read its metadata.

    Raises:
        StorageError: the object storage can't be reached, has no such bucket, or refuses.
        ManifestError: nothing is there, a file is not a valid manifest, or two files contradict each other.
    """
    files = manifest_files(path)
    tables = [_read_file(file) for file in files]
    if len(tables) == 1:
        return tables[0]
    return merge_tables(tables, [str(file) for file in files])


def _read_file(file: Location) -> pa.Table:
    try:
        source = pa.BufferReader(file.read_bytes()) if isinstance(file, ObjectPath) else file
        check_version(pq.read_metadata(source).metadata, str(file))
        table = pq.read_table(source, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"{file}: not a readable Parquet file ({reason}); {_BUILD_HINT}") from error
    validate(table, str(file))
    return table


def write_manifest(table: pa.Table, path: str | Path) -> None:
    """Validate and write a manifest, whole or not at all; a file that was there is replaced.

    Raises:
        ManifestError: the table is not a valid manifest; nothing is written then.
    """
    path = Path(path)
    validate(table, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def tasks_of(table: pa.Table) -> dict[str, list[str]]:
    """Task → class names, in the order of their indices."""
    tasks: dict[str, list[str]] = json.loads(table.schema.metadata[TASKS_KEY])
    return tasks


def kind_of(table: pa.Table, task: str) -> TaskKind:
    """What a task's labels are of: ``label``, ``multi_label`` or ``frame_label``, which is its column's prefix too.

    One that has labels both a video and a frame counts as one of videos.

    Raises:
        ManifestError: the manifest does not have the task.
    """
    if LABEL_PREFIX + task in table.column_names:
        return "label"
    if MULTI_LABEL_PREFIX + task in table.column_names:
        return "multi_label"
    if FRAME_LABEL_PREFIX + task in table.column_names:
        return "frame_label"
    raise ManifestError(f"task {task!r} is not in the manifest; it has {', '.join(tasks_of(table)) or 'none'}")


def root_of(table: pa.Table) -> Path | None:
    """The absolute folder below which relative paths lie; ``None`` where no path is relative."""
    root = table.schema.metadata.get(ROOT_KEY)
    return None if root is None else Path(root.decode())


def absolute_paths(table: pa.Table) -> list[str]:
    """The ``path`` column with every relative path below the root; URLs pass through."""
    paths: list[str] = resolved_paths(table).to_pylist()
    return paths


def fingerprint_of(table: pa.Table) -> str:
    """SHA-256 over what the manifest says: version, tasks, keypoints, and every column in the order of the names.

    The root and ``modified_ns`` are left out: the same files elsewhere, or touched, are the same manifest. How the
    table is chunked or compressed does not matter either.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    version = table.schema.metadata[VERSION_KEY].decode()
    digest.update(json.dumps([version, tasks_of(table)], sort_keys=True).encode())
    for name in sorted(set(table.column_names) - set(_NOT_CONTENT)):
        # Numbers of every frame as text would take seconds a thousand videos.
        content = digest_of(table) if name == KEYPOINTS_COLUMN else table[name].to_pylist()
        digest.update(json.dumps([name, str(table.schema.field(name).type), content]).encode())
    return digest.hexdigest()
