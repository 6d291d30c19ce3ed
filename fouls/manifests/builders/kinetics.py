"""``kinetics``: the official tables of Kinetics-400, 600 and 700 (https://arxiv.org/abs/1705.06950), or its lists.

A table has a line a clip, ``label,youtube_id,time_start,time_end,split``; its file is ``ID_START_END.mp4``, the seconds
written with six digits, in a folder a class or all in one. The published test tables have no labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders import list_file
from fouls.manifests.builders.kinetics_files import ClipFiles
from fouls.manifests.builders.list_file import DEFAULT_TASK
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
from fouls.manifests.builders.sources import (
    absolute,
    class_names_of,
    common_folder,
    name_of,
    read_lines,
    root_folders,
    splits_of,
)
from fouls.manifests.builders.tables import read_table
from fouls.manifests.class_names import encode_names
from fouls.manifests.splits import SPELLINGS, canonical_split

_NEEDED = ("youtube_id", "time_start", "time_end")


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A line of a table."""

    youtube_id: str
    name: str
    """``ID_START_END``: its file's name without the ending, and its ``video_id``."""
    label: str
    """The class's name; ``""``: none."""
    split: str
    root: Path
    place: str


def collect(options: BuildOptions) -> Listing:
    """List the clips of every source: of tables (``.csv``), or of lists (any other ending).

    Raises:
        ConfigError: tables and lists together, or options that don't fit each other.
        ManifestError: a source can't be read or lacks a column, a label is no class, or a clip has two files.
    """
    tables = [source.suffix.lower() == ".csv" for source in options.sources]
    if all(tables):
        return _from_tables(options)
    if any(tables):
        raise ConfigError("tables (.csv) and lists are read apart: build a manifest of each")
    return _from_lists(options)


def _from_tables(options: BuildOptions) -> Listing:
    task = options.task or DEFAULT_TASK
    sources = [absolute(source) for source in options.sources]
    roots = root_folders(options) or [source.parent for source in sources]
    clips, notes = _clips(sources, roots, options)
    classes = class_names_of(task, [task], options)
    names, indices = encode_names([clip.label for clip in clips], classes, lambda row: clips[row].place)
    files = {root: ClipFiles(root) for root in dict.fromkeys(roots)}
    of_id = Counter((clip.root, clip.youtube_id) for clip in clips)
    rows = []
    for clip, index in zip(clips, indices, strict=True):
        # A file that has only the id for its name is one clip's where the table has no other of this id.
        stems = [clip.name] if of_id[clip.root, clip.youtube_id] > 1 else [clip.name, clip.youtube_id]
        path = files[clip.root].find(stems, clip.label, clip.split, clip.place)
        labels: Mapping[str, int | None] = {task: index} if names else {}
        rows.append(Row(path=path, place=clip.place, video_id=clip.name, split=clip.split, labels=labels))
    return Listing(
        rows=tuple(rows),
        root=common_folder(roots),
        name=name_of(sources),
        tasks={task: names} if names else {},
        notes=notes,
    )


def _clips(sources: list[Path], roots: list[Path], options: BuildOptions) -> tuple[list[_Clip], tuple[str, ...]]:
    tables = [read_table(source) for source in sources]
    for table in tables:
        table.check(_NEEDED, "lists without a header end in .txt here, or are --format vjepa")
        if options.splits and "split" in table.header:
            raise ConfigError(f"--split is given, but {table.source} has a column 'split'")
    splits, notes = splits_of(options)
    clips = [
        _Clip(
            youtube_id=cells["youtube_id"],
            name=f"{cells['youtube_id']}_{_seconds(cells, 'time_start', place)}_{_seconds(cells, 'time_end', place)}",
            label=cells.get("label", ""),
            split=canonical_split(cells["split"]) if "split" in cells else split,
            root=root,
            place=place,
        )
        for table, root, split in zip(tables, roots, splits, strict=True)
        for place, cells in table.rows
    ]
    # No notes where --split is given, else one a source.
    notes = tuple(note for table, note in zip(tables, notes, strict=False) if "split" not in table.header)
    return clips, notes


def _seconds(cells: Mapping[str, str], column: str, place: str) -> str:
    """As in a file's name."""
    try:
        return f"{int(float(cells[column])):06d}"
    except ValueError as error:
        raise ManifestError(f"{place}, column {column!r}: {cells[column]!r} is not a number of seconds") from error


def _from_lists(options: BuildOptions) -> Listing:
    """As ``list``; by default paths lie below ``videos_train``, ``videos_val``, …, where such a folder is there."""
    if options.roots:
        return list_file.collect(options)
    splits, _ = splits_of(options)
    roots, notes = [], []
    for source, split in zip(map(absolute, options.sources), splits, strict=True):
        folder = _videos_folder(source, split)
        roots.append(folder or source.parent)
        if folder is not None:
            notes.append(f"{source.name}: its paths are taken to lie in {folder.name}; --root sets another folder")
    listing = list_file.collect(replace(options, roots=tuple(roots)))
    return replace(listing, notes=(*listing.notes, *notes))


def _videos_folder(source: Path, split: str) -> Path | None:
    first = next((line for line in read_lines(source) if line.strip()), "")
    for spelling in SPELLINGS.get(split, ()):
        folder = source.parent / f"videos_{spelling}"
        if folder.is_dir() and not first.startswith(f"{folder.name}/"):
            return folder
    return None


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names"}),
    summary="the official tables of Kinetics, or its lists",
)
