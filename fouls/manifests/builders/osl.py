"""``osl``: the JSON annotations of OpenSportsLib (https://github.com/OpenSportsLab/opensportslib), for classification.

A file has the classes of each head under ``labels`` and a list of samples under ``data``, each with its ``inputs`` (the
videos are its views) and its ``labels`` by head. Heads become tasks. Events, which are for spotting, are refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fouls.errors import ManifestError
from fouls.manifests.builders.listing import Builder, BuildOptions, Labels, Listing, Row
from fouls.manifests.builders.sources import absolute, common_folder, name_of, one_for_each, resolved, root_folders
from fouls.manifests.schema import TaskKind
from fouls.manifests.splits import SPELLINGS, canonical_split, split_in_file_name

_KINDS: Mapping[str, TaskKind] = {"single_label": "label", "multi_label": "multi_label"}
_VIEW = re.compile(r"_view\d+$")
"""Ends the ids of samples that are views of one."""


@dataclass(frozen=True, kw_only=True)
class _Head:
    """A labelling problem."""

    kind: TaskKind
    classes: tuple[str, ...]
    source: Path


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """An entry of ``data``."""

    sample_id: str
    videos: tuple[str, ...]
    """Absolute, or URLs."""
    labels: Mapping[str, Labels]
    split: str
    place: str


def collect(options: BuildOptions) -> Listing:
    """List the videos of every sample of every source.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: a source is not as documented, has events, no video, or labels that are not in its heads; or two
            sources have different classes for one head.
    """
    sources = [absolute(source) for source in options.sources]
    roots = root_folders(options) or [source.parent for source in sources]
    splits = one_for_each([canonical_split(split) for split in options.splits], options, "--split")
    heads: dict[str, _Head] = {}
    samples: list[_Sample] = []
    notes: list[str] = []
    for index, (source, root) in enumerate(zip(sources, roots, strict=True)):
        content = _read(source)
        own_heads = _heads(content, source)
        for name, head in own_heads.items():
            _check_same(name, heads.setdefault(name, head), head)
        split = _split(source, content, notes) if splits is None else splits[index]
        found = list(_samples(content, own_heads, source, root, split))
        missing = sum(not sample.videos for sample in found)
        if missing == len(found):
            raise ManifestError(f"{source}: no sample has an input of type 'video'")
        if missing:
            notes.append(f"{source.name}: {missing} of {len(found)} samples are left out: no input of type 'video'")
        samples += found
    return Listing(
        rows=tuple(_rows(samples)),
        root=common_folder(roots),
        name=name_of(sources),
        tasks={name: head.classes for name, head in heads.items()},
        kinds={name: head.kind for name, head in heads.items()},
        notes=tuple(notes),
    )


def _read(source: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{source}: not readable as JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise ManifestError(f"{source}: no list 'data' in it; is this OpenSportsLib's JSON?")
    return content


def _heads(content: Mapping[str, Any], source: Path) -> dict[str, _Head]:
    """Head → what the file says of it."""
    heads = {}
    schema = content.get("labels") or {}
    if not isinstance(schema, dict):
        raise ManifestError(f"{source}: 'labels' is {schema!r}, not the classes of each head")
    for name, head in schema.items():
        kind = str(head.get("type", "single_label")) if isinstance(head, dict) else ""
        classes = head.get("labels") if isinstance(head, dict) else None
        if kind not in _KINDS or not isinstance(classes, list):
            raise ManifestError(
                f"{source}: head {name!r} is {head!r}; it needs a type, {' or '.join(_KINDS)}, and a list 'labels'"
            )
        heads[name] = _Head(kind=_KINDS[kind], classes=tuple(map(str, classes)), source=source)
    return heads


def _check_same(name: str, one: _Head, other: _Head) -> None:
    if (one.kind, one.classes) != (other.kind, other.classes):
        raise ManifestError(f"head {name!r} has other classes, or another type, in {one.source} than in {other.source}")


def _split(source: Path, content: Mapping[str, Any], notes: list[str]) -> str:
    """What the metadata say, else the file's name, else that of its folder."""
    metadata = content.get("metadata")
    given = metadata.get("split") if isinstance(metadata, dict) else None
    if given:
        return canonical_split(str(given))
    folder = canonical_split(source.parent.name)
    split = split_in_file_name(source.name) or (folder if folder in SPELLINGS else "")
    notes.append(
        f"{source.name}: split {split!r}, read from its name or folder; --split NAME sets another"
        if split
        else f"{source.name}: no split in its metadata or name, so its rows have none; --split NAME sets it"
    )
    return split


def _samples(
    content: Mapping[str, Any], heads: Mapping[str, _Head], source: Path, root: Path, split: str
) -> Iterator[_Sample]:
    for index, entry in enumerate(content["data"]):
        if not isinstance(entry, dict) or not entry.get("id"):
            raise ManifestError(f"{source}: data[{index}] has no 'id'")
        place = f"{source}: sample {entry['id']!r}"
        if entry.get("events"):
            raise ManifestError(f"{place} has events: spotting is not supported, only samples with labels are")
        inputs = [one for one in entry.get("inputs") or () if isinstance(one, dict) and one.get("type") == "video"]
        if not all(one.get("path") for one in inputs):
            raise ManifestError(f"{place}: an input of type 'video' has no 'path'")
        sample_id = _VIEW.sub("", str(entry["id"]))
        yield _Sample(
            sample_id=f"{split}/{sample_id}" if split else sample_id,
            videos=tuple(resolved(str(one["path"]), root) for one in inputs),
            labels=_labels(entry.get("labels") or {}, heads, place),
            split=split,
            place=place,
        )


def _labels(given: object, heads: Mapping[str, _Head], place: str) -> dict[str, Labels]:
    """Head → index or indices; a head has ``{"label": …}`` or ``{"labels": […]}``, as its type says."""
    if not isinstance(given, dict):
        raise ManifestError(f"{place}: 'labels' is {given!r}, not labels by head")
    unknown = [name for name in given if name not in heads]
    if unknown:
        raise ManifestError(f"{place}: labels of head {unknown[0]!r}, which the file's 'labels' does not have")
    return {name: _indices(name, head, given.get(name), place) for name, head in heads.items()}


def _indices(name: str, head: _Head, given: object, place: str) -> Labels:
    if given is None:
        return None
    key = "label" if head.kind == "label" else "labels"
    labels = given.get(key) if isinstance(given, dict) else given
    if labels is None:
        return None
    if isinstance(labels, list) == (head.kind == "label"):
        wanted = "{'label': class}" if head.kind == "label" else "{'labels': [class, …]}"
        raise ManifestError(f"{place}: labels of head {name!r} are {given!r}, not {wanted}")
    names = labels if isinstance(labels, list) else [labels]
    for label in names:
        if label not in head.classes:
            raise ManifestError(f"{place}: label {label!r} is none of the {len(head.classes)} classes of head {name!r}")
    indices = sorted({head.classes.index(label) for label in names})
    return indices[0] if head.kind == "label" else tuple(indices)


def _rows(samples: Sequence[_Sample]) -> Iterator[Row]:
    views: Counter[str] = Counter()
    for sample in samples:
        for video in sample.videos:
            view = views[sample.sample_id]
            views[sample.sample_id] += 1
            yield Row(
                path=video,
                place=sample.place,
                video_id=f"{sample.sample_id}/view_{view}",
                sample_id=sample.sample_id,
                view=view,
                split=sample.split,
                labels=sample.labels,
            )


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "splits"}),
    summary="OpenSportsLib's JSON, for classification",
)
