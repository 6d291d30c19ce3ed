"""A manifest's counts, as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fouls.commands import console
from fouls.objects.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

    from fouls.manifests.summary import Summary


def print_splits(summary: Summary, title: str) -> None:
    """One line a split, and one for all where there are several."""
    tasks = list(summary.classes)
    keypoints = ["keypoints"] if summary.keypoints else []
    columns = ["split", "samples", "videos", "not probed", "hours", *keypoints, *tasks]
    rows: list[list[object]] = [
        [
            name or "(none)",
            split.num_samples,
            split.num_videos,
            split.num_failed,
            split.duration_seconds / 3600,
            *(split.num_with_keypoints for _ in keypoints),
            *(split.num_labelled[task] for task in tasks),
        ]
        for name, split in summary.splits.items()
    ]
    if len(rows) > 1:
        rows.append(["all", *(sum(row[column] for row in rows) for column in range(1, len(columns)))])  # type: ignore[misc]
    console.table(f"{title}{'; below each task, the samples with a label' if tasks else ''}", columns, rows)


def print_classes(summary: Summary, task: str, limit: int | None) -> None:
    """One line a class of a task, the first ``limit`` of them; ``None``: all."""
    splits = list(summary.splits)
    counts = [(name, [by_split[split] for split in splits]) for name, by_split in summary.classes[task].items()]
    shown = counts[:limit]
    console.table(
        f"{task}: {_unit(summary, task)} by class",
        ["index", "class", *(split or "(none)" for split in splits)],
        [[index, name, *row] for index, (name, row) in enumerate(shown)],
    )
    if len(shown) < len(counts):
        console.say(f"… and {len(counts) - len(shown):,} more classes; --all lists them")


def as_json(path: Location, table: pa.Table, summary: Summary) -> dict[str, Any]:
    """What ``fouls manifest show --json`` prints."""
    from fouls.manifests.table import fingerprint_of, root_of, tasks_of

    root = root_of(table)
    return {
        "manifest": str(path),
        "fingerprint": fingerprint_of(table),
        "root": None if root is None else str(root),
        "videos": table.num_rows,
        "samples": sum(split.num_samples for split in summary.splits.values()),
        "splits": {
            name: {
                "samples": split.num_samples,
                "videos": split.num_videos,
                "failed": split.num_failed,
                "duration_seconds": split.duration_seconds,
                "labelled": dict(split.num_labelled),
                "with_keypoints": split.num_with_keypoints,
            }
            for name, split in summary.splits.items()
        },
        "keypoints": list(summary.keypoints),
        "tasks": {
            task: {
                "classes": tasks_of(table)[task],
                "counts": {name: dict(by_split) for name, by_split in by_class.items()},
                "kind": summary.kinds[task],
                "unit": _unit(summary, task),
            }
            for task, by_class in summary.classes.items()
        },
        "failures": [
            {"video_id": video_id, "path": video, "probe_error": error} for video_id, video, error in summary.failures
        ],
    }


def _unit(summary: Summary, task: str) -> str:
    return "frames" if summary.kinds[task] == "frame_label" else "samples"
