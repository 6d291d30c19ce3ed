"""What a manifest holds, counted: by split, task and class, and what could not be probed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fouls.manifests.schema import FRAME_LABEL_PREFIX, KEYPOINTS_COLUMN, LABEL_PREFIX, MULTI_LABEL_PREFIX, TaskKind
from fouls.manifests.splits import SPELLINGS
from fouls.manifests.table import keypoints_of, kind_of, tasks_of


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split."""

    num_samples: int
    num_videos: int
    num_failed: int
    """Videos that could not be probed."""
    duration_seconds: float
    """Of the videos that could be probed."""
    num_labelled: Mapping[str, int]
    """Task → samples with a label."""
    num_with_keypoints: int
    """Videos with keypoints."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole manifest."""

    splits: Mapping[str, SplitSummary]
    """In the order train, valid, test, challenge, then by name; ``""``: videos in no split."""
    classes: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Task → class → split → samples; frames, where the labels are a frame."""
    kinds: Mapping[str, TaskKind]
    """Task → what its labels are of."""
    keypoints: tuple[str, ...]
    """Names of the keypoints of each frame; empty: none."""
    failures: tuple[tuple[str, str, str], ...]
    """(video_id, path, reason) of what could not be probed."""


def summarise(table: pa.Table) -> Summary:
    """Count a validated manifest. A sample counts once, however many views it has."""
    split = np.array(table["split"].to_pylist(), dtype=object)
    names = _in_order(set(split.tolist()))
    tasks = tasks_of(table)
    kinds = {task: kind_of(table, task) for task in tasks}
    keypoints = keypoints_of(table)
    classes: dict[str, dict[str, dict[str, int]]] = {task: {name: {} for name in tasks[task]} for task in tasks}
    splits = {}
    for name in names:
        part = table.filter(pa.array(split == name))
        labelled = {}
        for task, class_names in tasks.items():
            counts = _COUNTS[kinds[task]](part, task)
            labelled[task] = _labelled_samples(part, f"{kinds[task]}.{task}")
            for index, class_name in enumerate(class_names):
                classes[task][class_name][name] = int(counts.get(index, 0))
        splits[name] = SplitSummary(
            num_samples=pc.count_distinct(part["sample_id"]).as_py(),
            num_videos=part.num_rows,
            num_failed=part.num_rows - part["probe_error"].null_count,
            duration_seconds=pc.sum(part["duration_seconds"]).as_py() or 0.0,
            num_labelled=labelled,
            num_with_keypoints=part.num_rows - part[KEYPOINTS_COLUMN].null_count if keypoints else 0,
        )
    failed = table.filter(pc.is_valid(table["probe_error"])).select(["video_id", "path", "probe_error"])
    failures = tuple(zip(*(column.to_pylist() for column in failed.columns), strict=True))
    return Summary(splits=splits, classes=classes, kinds=kinds, keypoints=keypoints, failures=failures)


def _in_order(names: set[str]) -> Sequence[str]:
    known = list(SPELLINGS)
    return sorted(names, key=lambda name: (name == "", known.index(name) if name in known else len(known), name))


def _labelled_samples(part: pa.Table, column: str) -> int:
    count: int = pc.count_distinct(part["sample_id"].filter(pc.is_valid(part[column]))).as_py()
    return count


def _samples(part: pa.Table, task: str) -> dict[int, int]:
    """Class index → samples."""
    column = LABEL_PREFIX + task
    pairs = part.select(["sample_id", column]).drop_null().group_by(["sample_id", column]).aggregate([])
    return _value_counts(pairs[column])


def _samples_with_many(part: pa.Table, task: str) -> dict[int, int]:
    """Class index → samples, of which each may be in several classes."""
    lists = part[MULTI_LABEL_PREFIX + task].combine_chunks()
    samples = part["sample_id"].take(pc.list_parent_indices(lists))
    pairs = pa.table({"sample": samples, "label": lists.flatten()}).group_by(["sample", "label"]).aggregate([])
    return _value_counts(pairs["label"])


def _frames(part: pa.Table, task: str) -> dict[int, int]:
    """Class index → frames."""
    return _value_counts(pc.list_flatten(part[FRAME_LABEL_PREFIX + task]))


def _value_counts(values: pa.ChunkedArray) -> dict[int, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}


_COUNTS: Mapping[TaskKind, Callable[[pa.Table, str], dict[int, int]]] = {
    "label": _samples,
    "multi_label": _samples_with_many,
    "frame_label": _frames,
}
