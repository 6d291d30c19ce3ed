"""``fouls export``: features for other programs."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fouls.commands import console
from fouls.commands.store import AsJson, StorePath
from fouls.errors import ConfigError
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    import pyarrow as pa

    from fouls.cache.export.formats import ExportReport
    from fouls.cache.export.videos import Segment, VideoFacts

FormatName = Literal["npy", "parquet", "hdf5", "webdataset", "actionformer"]
MOST_LINES = 10


def export(
    path: StorePath,
    to: Annotated[FormatName, typer.Option(help="The format.")],
    out: Annotated[Path, typer.Option(help="A new folder.", file_okay=False)],
    pool: Annotated[str | None, typer.Option(help="Which pool.", show_default="the only one")] = None,
    manifest: Annotated[
        Location | None,
        typer.Option(parser=location, help="A manifest, or a folder of them, for labels, splits and frame rates."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="The task whose labels a frame become segments.", show_default="the only one of that kind"),
    ] = None,
    background: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Its class that stands for nothing, and makes no segments.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="An export that is there goes.")] = False,
    json_output: AsJson = False,
) -> None:
    """Write the features of a store for other programs, video by video.

    fouls export cache/videomae --to npy --out features
    """
    from fouls.cache.export.formats import export as run
    from fouls.cache.store import open_store
    from fouls.cache.summary import summarise

    if manifest is None and (task or background):
        raise ConfigError("--task and --background are about labels: add --manifest")
    store = open_store(path)
    facts = {} if manifest is None else _facts(manifest, task, background)
    with console.progress(f"{path}", summarise(store).videos, "videos") as advance:
        report = run(store, to=to, out=out, pool=pool, facts=facts, overwrite=overwrite, on_video=advance)
    if json_output:
        typer.echo(json.dumps({"out": str(out), "format": to, **report.to_dict()}))
    else:
        _print_report(path, out, report)


def _print_report(path: Location, out: Path, report: ExportReport) -> None:
    incomplete = {video: rows for video, rows in report.missing.items() if video not in report.left_out}
    if incomplete:
        rows = sum(incomplete.values())
        console.warn(f"{len(incomplete):,} videos lack {rows:,} rows that are not done: {_list(list(incomplete))}")
    if report.left_out:
        console.warn(f"{len(report.left_out):,} videos are left out")
        for video, reason in list(report.left_out.items())[:MOST_LINES]:
            console.warn(f"{video}: {reason}")
    console.say(f"{report.rows:,} rows of {report.videos:,} videos → {out}")
    if report.missing:
        console.next_step(f"fouls status {path} says what is not done; --json names all videos")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LINES:,} more" if len(names) > MOST_LINES else ""
    return ", ".join(names[:MOST_LINES]) + more


def _facts(path: Location, task: str | None, background: str | None) -> dict[str, VideoFacts]:
    """video_id → what the manifest says of it."""
    from fouls.cache.export.videos import VideoFacts
    from fouls.manifests.schema import FRAME_LABEL_PREFIX, LABEL_PREFIX, MULTI_LABEL_PREFIX
    from fouls.manifests.table import read_manifest, tasks_of

    table = read_manifest(path)
    classes = tasks_of(table)
    by_frame = _frame_task(table, task)
    if background is not None and (by_frame is None or background not in classes[by_frame]):
        allowed = ", ".join(classes[by_frame]) if by_frame else "none, for no task has labels a frame"
        raise ConfigError(f"--background is {background!r}; allowed: {allowed}")
    labelled = [name for name in table.column_names if name.startswith((LABEL_PREFIX, MULTI_LABEL_PREFIX))]
    frames = [] if by_frame is None else [FRAME_LABEL_PREFIX + by_frame]
    facts = {}
    for row in table.select(["video_id", "split", "fps", "num_frames", "stop_frame", *labelled, *frames]).to_pylist():
        labels = {}
        for column in labelled:
            name = column.partition(".")[2]
            if row[column] is not None:
                labels[name] = _class_names(row[column], classes[name])
        segments = None
        if by_frame is not None and row[frames[0]] is not None:
            segments = _segments(row[frames[0]], classes[by_frame], background)
        stops = [frame for frame in (row["num_frames"], row["stop_frame"]) if frame is not None]
        facts[row["video_id"]] = VideoFacts(
            split=row["split"],
            labels=labels,
            segments=segments,
            fps=row["fps"],
            num_frames=min(stops) if stops else None,
        )
    return facts


def _frame_task(table: pa.Table, task: str | None) -> str | None:
    """The task whose labels a frame are used; ``None``: the manifest has none."""
    from fouls.manifests.schema import frame_label_tasks

    tasks = frame_label_tasks(table.column_names)
    if task is None and len(tasks) > 1:
        raise ConfigError(f"the manifest has labels a frame of {', '.join(tasks)}: choose one with --task")
    if task is not None and task not in tasks:
        raise ConfigError(f"--task is {task!r}; with labels a frame there are: {', '.join(tasks) or 'none'}")
    return task or (tasks[0] if tasks else None)


def _class_names(label: Any, names: list[str]) -> str | list[str]:
    return [names[index] for index in label] if isinstance(label, list) else names[label]


def _segments(labels: list[int], names: list[str], background: str | None) -> tuple[Segment, ...]:
    """The runs of frames with one class; -1 is none."""
    from fouls.cache.export.videos import Segment

    segments, start = [], 0
    for label, run in groupby(labels):
        stop = start + len(list(run))
        if label >= 0 and names[label] != background:
            segments.append(Segment(start_frame=start, stop_frame=stop, label=names[label]))
        start = stop
    return tuple(segments)
