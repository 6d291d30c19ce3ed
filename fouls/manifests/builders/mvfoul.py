"""``mvfoul``: split folders of SoccerNet-MVFoul (https://arxiv.org/abs/2304.04617), with the tasks of the challenge or
those of the MVFouls code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders import mvfoul_legacy
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
from fouls.manifests.builders.sources import absolute, common_folder
from fouls.manifests.splits import SPELLINGS, canonical_split

ACTION_CLASSES = (
    "Tackling",
    "Standing tackling",
    "High leg",
    "Holding",
    "Pushing",
    "Elbowing",
    "Challenge",
    "Dive",
)
OFFENCE_SEVERITY_CLASSES = ("No offence", "Offence + No card", "Offence + Yellow card", "Offence + Red card")
TASKS = {"action": ACTION_CLASSES, "offence_severity": OFFENCE_SEVERITY_CLASSES}

LabelsOf = Callable[[Mapping[str, Any], str], Mapping[str, int | None]]
"""(an entry of ``Actions``, place for messages) → task → class index."""

_NO_OFFENCE = ("No offence", "No Offence")
_UNSURE_OFFENCE = ("", "Between")
_UNSURE_SEVERITY = ("", "2.0", "4.0")
_SEVERITY_CLASS = {"1.0": 1, "3.0": 2, "5.0": 3}
_UNLABELLED = {"action": None, "offence_severity": None}
_EDITION = re.compile(r"[_-]?\d+p$", re.IGNORECASE)
_CLIP = re.compile(r"(?P<folder>action_\d+)/clip_(?P<view>\d+)(?:\.mp4)?$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _SplitFolder:
    path: Path
    split: str
    annotations: Mapping[str, Any]


def collect(options: BuildOptions) -> Listing:
    """List every clip that the annotations of the split folders name, whether the file is there or not.

    A source is a split folder (it holds ``annotations.json``) or a folder of split folders.

    Raises:
        ConfigError: a label set that there is not.
        ManifestError: no split folder, two of one split, or annotations that are not as published.
    """
    label_set = options.label_set or "official"
    if label_set not in LABEL_SETS:
        raise ConfigError(f"--label-set is {label_set!r}; allowed: {', '.join(LABEL_SETS)}")
    folders: dict[str, _SplitFolder] = {}
    for source in options.sources:
        for folder in _split_folders(absolute(source)):
            other = folders.setdefault(folder.split, folder)
            if other.path != folder.path:
                raise ManifestError(
                    f"{other.path} and {folder.path} both hold split {folder.split!r}; name one of them"
                )
    tasks, labels_of_action = LABEL_SETS[label_set]
    rows = tuple(row for split in SPELLINGS if split in folders for row in _rows(folders[split], labels_of_action))
    root = common_folder(folder.path.parent for folder in folders.values())
    return Listing(rows=rows, root=root, name="mvfoul", tasks=tasks)


def labels_of(action: Mapping[str, Any], place: str) -> Mapping[str, int | None]:
    """The labels of an action as the official data set class gives them; ``None`` for what it leaves out.

    Args:
        action: an entry of ``Actions`` in ``annotations.json``.
        place: file and action, for messages.

    Raises:
        ManifestError: an action class that the data set does not have.
    """
    action_class, offence = action.get("Action class") or "", action.get("Offence") or ""
    severity = str(action.get("Severity") or "")
    is_dive = action_class == "Dive"
    if action_class in ("", "Dont know"):
        return _UNLABELLED
    if action_class not in ACTION_CLASSES:
        raise ManifestError(f"{place}: action class {action_class!r}; known: {', '.join(ACTION_CLASSES)}")
    if offence in _UNSURE_OFFENCE and not is_dive:
        return _UNLABELLED
    if severity in _UNSURE_SEVERITY and not is_dive and offence not in _NO_OFFENCE:
        return _UNLABELLED
    offence = "Offence" if offence in _UNSURE_OFFENCE else offence
    severity = "1.0" if severity in _UNSURE_SEVERITY else severity
    if offence in _NO_OFFENCE:
        offence_severity = 0
    elif offence == "Offence" and severity in _SEVERITY_CLASS:
        offence_severity = _SEVERITY_CLASS[severity]
    else:
        return _UNLABELLED
    return {"action": ACTION_CLASSES.index(action_class), "offence_severity": offence_severity}


def _split_folders(source: Path) -> Iterator[_SplitFolder]:
    if not source.is_dir():
        raise ManifestError(f"{source}: no such folder")
    candidates = [source] if (source / "annotations.json").is_file() else sorted(source.iterdir())
    found = [folder for folder in candidates if (folder / "annotations.json").is_file()]
    if not found:
        raise ManifestError(f"{source}: no annotations.json in it, nor in a folder below; format 'mvfoul' needs one")
    for folder in found:
        annotations = _read_annotations(folder / "annotations.json")
        yield _SplitFolder(path=folder, split=_split_name(folder, annotations), annotations=annotations)


def _read_annotations(file: Path) -> Mapping[str, Any]:
    try:
        annotations = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(annotations, dict) or not isinstance(annotations.get("Actions"), dict):
        raise ManifestError(f"{file}: no object 'Actions' in it; is this SoccerNet-MVFoul's annotations.json?")
    return annotations


def _split_name(folder: Path, annotations: Mapping[str, Any]) -> str:
    """From the folder's name (``Train``, ``valid_720p``, …), else from what the annotations call their set."""
    for text in (folder.name, str(annotations.get("Set", ""))):
        split = canonical_split(_EDITION.sub("", text))
        if split in SPELLINGS:
            return split
    raise ManifestError(
        f"{folder}: neither its name nor 'Set' in its annotations.json tells the split; known: {', '.join(SPELLINGS)}"
    )


def _rows(folder: _SplitFolder, labels_of_action: LabelsOf) -> Iterator[Row]:
    for key, action in folder.annotations["Actions"].items():
        place = f"{folder.path / 'annotations.json'}: action {key}"
        labels = labels_of_action(action, place)
        sample_id = f"{folder.split}/action_{key}"
        for clip in action.get("Clips", ()):
            path, view = _clip_path(str(clip.get("Url", "")), place)
            yield Row(
                path=os.path.join(folder.path, path),
                place=place,
                video_id=f"{sample_id}/clip_{view}",
                sample_id=sample_id,
                view=view,
                view_kind=clip.get("Camera type") or None,
                replay_speed=_replay_speed(clip.get("Replay speed"), place),
                split=folder.split,
                labels=labels,
            )


def _replay_speed(value: object, place: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        return float(str(value))
    except ValueError as error:
        raise ManifestError(f"{place}: replay speed {value!r} is not a number") from error


def _clip_path(url: str, place: str) -> tuple[str, int]:
    """File below the split folder, and view, from any spelling of a ``Url``; only its last two parts count."""
    match = _CLIP.search(url.replace("\\", "/"))
    if match is None:
        raise ManifestError(f"{place}: clip Url {url!r} does not end in action_N/clip_N")
    return os.path.join(match["folder"], f"clip_{match['view']}.mp4"), int(match["view"])


LABEL_SETS: dict[str, tuple[Mapping[str, tuple[str, ...]], LabelsOf]] = {
    "official": (TASKS, labels_of),
    "legacy": (mvfoul_legacy.TASKS, mvfoul_legacy.labels_of),
}
"""``--label-set`` → task → class names, and the function that gives an action's labels."""

BUILDER = Builder(
    collect=collect,
    reads=frozenset({"label_set"}),
    summary="split folders of SoccerNet-MVFoul",
)
