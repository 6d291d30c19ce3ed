"""``videos``: a folder tree of media files. Class and split may come from the path."""

from __future__ import annotations

import re
from pathlib import Path

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
from fouls.manifests.builders.sources import absolute, class_names_of, common_folder, root_folders
from fouls.manifests.class_names import encode_names
from fouls.manifests.media_files import MEDIA_ENDINGS, media_files
from fouls.manifests.splits import canonical_split

_PART = re.compile(r"part:(\d+)")


def collect(options: BuildOptions) -> Listing:
    """List every media file of the sources, folders or single files, in the order of their paths.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a source is not there or holds no media file, or a path lacks the part asked for.
    """
    if (options.task is None) != (options.label_from is None):
        raise ConfigError("--task NAME and --label-from PART go together: the class of NAME is that part of the path")
    root = _root(options)
    files = sorted({file for source in options.sources for file in _files(absolute(source))})
    splits = [_split(file, root, options.split_from) for file in files]
    tasks: dict[str, tuple[str, ...]] = {}
    indices: list[int | None] = [None] * len(files)
    if options.task is not None and options.label_from is not None:
        texts = [_part(file, root, options.label_from, "--label-from") for file in files]
        classes = class_names_of(options.task, [options.task], options)
        tasks[options.task], indices = encode_names(texts, classes, lambda row: str(files[row]))
    elif options.class_names:
        raise ConfigError("--class-names needs --task NAME and --label-from PART")
    rows = tuple(
        Row(path=str(file), place=str(file), split=split, labels=dict.fromkeys(tasks, index))
        for file, split, index in zip(files, splits, indices, strict=True)
    )
    return Listing(rows=rows, root=root, name=root.name, tasks=tasks)


def _root(options: BuildOptions) -> Path:
    if len(options.roots) > 1:
        raise ConfigError("--root is given several times; format 'videos' has one root for all sources")
    roots = root_folders(options)
    if roots is None:
        return common_folder(source if source.is_dir() else source.parent for source in map(absolute, options.sources))
    for source in options.sources:
        if not absolute(source).is_relative_to(roots[0]):
            raise ConfigError(f"{source} is not below --root {options.roots[0]}")
    return roots[0]


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ManifestError(f"{source}: no such folder or file")
    files = list(media_files(source))
    if not files:
        raise ManifestError(f"{source}: no media file below it (endings: {' '.join(sorted(MEDIA_ENDINGS))})")
    return files


def _split(file: Path, root: Path, rule: str | None) -> str:
    return "" if rule is None else canonical_split(_part(file, root, rule, "--split-from"))


def _part(file: Path, root: Path, rule: str, flag: str) -> str:
    """The folder's name that a rule points to: ``parent``, or ``part:N`` counted from 0 below the root."""
    if rule == "parent":
        return file.parent.name
    match = _PART.fullmatch(rule)
    if match is None:
        raise ConfigError(f"{flag} is {rule!r}; allowed: parent, part:N (N counts the folders below the root from 0)")
    folders = file.relative_to(root).parts[:-1]
    if int(match[1]) >= len(folders):
        raise ManifestError(
            f"{file}: {flag} {rule} asks for folder {match[1]} below {root}, but the file has {len(folders)} above it"
        )
    return folders[int(match[1])]


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "label_from", "split_from", "class_names"}),
    summary="a folder tree of media files",
)
