"""``fouls manifest build`` and ``fouls manifest show``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console, manifest_summary
from fouls.commands.urls import AllowUrls, VideoCache, VideoCacheBytes, make_downloads
from fouls.errors import ConfigError
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.manifests.build import BuildReport

app = typer.Typer(no_args_is_help=True, help="Make and look at manifests: the tables of videos, labels and splits.")


class Format(StrEnum):
    """What a manifest is built from; the names of :data:`fouls.manifests.builders.BUILDERS`."""

    videos = "videos"
    csv = "csv"
    list = "list"
    vjepa = "vjepa"
    kinetics = "kinetics"
    ma52 = "ma52"
    mvfoul = "mvfoul"
    osl = "osl"
    mouse = "mouse"


FAILURES_SHOWN = 10
CLASSES_SHOWN = 25

_LABELS, _FRAMES, _PATHS, _PROBING = "Labels and splits", "Labels a frame", "Where things are", "Probing"


@app.command()
def build(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE", help="Folders or files, as the format needs.")],
    format_name: Annotated[
        Format,
        typer.Option("--format", "-f", metavar="FORMAT", help="What SOURCE is, see above."),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Write manifests/NAME.parquet; default: the source's name.", rich_help_panel=_PATHS),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", help="Write this file instead.", rich_help_panel=_PATHS)
    ] = None,
    roots: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            metavar="FOLDER",
            help="Folder below which listed paths lie, once or once a SOURCE; default: the list's own. (all but "
            "mvfoul)",
            rich_help_panel=_PATHS,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Task that the labels are of; in a csv also the column that holds them. (videos, csv; list, vjepa, "
            "kinetics, mouse: 'action' by default)",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    label_from: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="Path part that is the class: 'parent', or 'part:N', N counting the folders below the root from 0. "
            "(videos)",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    split_from: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Path part that is the split, likewise. (videos)", rich_help_panel=_LABELS),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Split, once or once a SOURCE; default: what SOURCE or its name says. (all but videos, mvfoul)",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    class_names: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TASK=]FILE",
            help="File with one class name a line, in the order of the indices; default: the names found, sorted. "
            "(all but mvfoul, osl)",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    multi_label: Annotated[
        bool,
        typer.Option(
            "--multi-label",
            help="A video may have any number of labels: `path label label …`. (list)",
            rich_help_panel=_LABELS,
        ),
    ] = False,
    label_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="'official' (default): 8 actions and 4 offence severities, filtered; 'legacy': 10 actions and 6 "
            "severities, with classes for what is missing. (mvfoul)",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    trial_frames: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frames of a trial, of which a video has one after another; default: 360. (mouse)",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    frame_offset: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frame of its trial that a file's first label is of; default: 0, or 15 for files that are 15 frames "
            "short. (mouse)",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    merges: Annotated[
        list[str] | None,
        typer.Option(
            "--merge",
            metavar="[NAME=]CLASS,CLASS…",
            help="Make one class of several, named by index or name; can be given several times. (mouse)",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    keypoints: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME…",
            help="Keypoints to take from the pose files, in this order; default: the six of the mouse data. (mouse)",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that probe; default: one a CPU.", rich_help_panel=_PROBING)
    ] = None,
    probe_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="For one file.", rich_help_panel=_PROBING)
    ] = 60.0,
    reprobe: Annotated[
        bool,
        typer.Option(
            "--reprobe", help="Probe all files, also those that the last build knows.", rich_help_panel=_PROBING
        ),
    ] = False,
    allow_urls: AllowUrls = None,
    video_cache: VideoCache = None,
    video_cache_bytes: VideoCacheBytes = "20GB",
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Write a manifest: list the videos of SOURCE with labels and splits, and probe each (frames, fps, codec, hash).

    Run it again after adding files: only what is new or changed is probed.

    \b
    Formats:
      videos    a folder tree of media files
      csv       a table with a column `path` and any other of a manifest
      list      text files with `path label` a line
      vjepa     V-JEPA's .csv files: `path label` a line, no header
      kinetics  the official tables of Kinetics, or its lists
      ma52      the lists of MA-52, fine and coarse classes
      mvfoul    split folders of SoccerNet-MVFoul
      osl       OpenSportsLib's JSON, for classification
      mouse     trials with a class a frame, and DeepLabCut's pose

    Examples:

      fouls manifest build clips --format videos --task action --label-from parent --split-from part:0

      fouls manifest build train_list.txt test_list.txt --format list --class-names classes.txt

      fouls manifest build mvfouls/Train mvfouls/Valid mvfouls/Test --format mvfoul
    """
    from fouls.manifests.build import build_manifest, list_videos
    from fouls.manifests.builders.listing import BuildOptions
    from fouls.manifests.probing import ProbingOptions

    probing = ProbingOptions(
        workers=workers,
        timeout_seconds=probe_timeout,
        reprobe=reprobe,
        downloads=make_downloads(allow_urls, video_cache, video_cache_bytes),
    )
    listing = list_videos(
        format_name.value,
        BuildOptions(
            sources=tuple(sources),
            roots=tuple(roots or ()),
            task=task,
            label_from=label_from,
            split_from=split_from,
            splits=tuple(splits or ()),
            class_names=_class_name_files(class_names or []),
            multi_label=multi_label,
            label_set=label_set,
            trial_frames=trial_frames,
            frame_offset=frame_offset,
            merges=tuple(merges or ()),
            keypoints=tuple(name.strip() for name in keypoints.split(",")) if keypoints else (),
        ),
    )
    report = build_manifest(listing, _target(name, out, listing.name), probing, console.progress)
    if as_json:
        typer.echo(console.to_json(_report_json(report), indent=2))
    else:
        _print_report(report, allow_urls or ())
    if report.failures:
        raise typer.Exit(1)


def _class_name_files(texts: list[str]) -> dict[str, Path]:
    """``TASK=FILE`` or ``FILE`` → task (or ``""``) → file."""
    files: dict[str, Path] = {}
    for text in texts:
        task, equals, file = text.partition("=")
        task, file = (task, file) if equals and "/" not in task else ("", text)
        if task in files:
            raise ConfigError(f"--class-names is given twice{f' for task {task!r}' if task else ''}")
        files[task] = Path(file)
    return files


def _target(name: str | None, out: Path | None, default_name: str) -> Path:
    if out is not None and name is not None:
        raise ConfigError("--name and --out both say where the manifest goes; give one")
    if out is not None:
        if out.suffix != ".parquet":
            raise ConfigError(f"--out is {out}; it must be a file that ends in .parquet")
        return out
    name = name or default_name
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"--name is {name!r}; it becomes manifests/NAME.parquet, so it must be a plain file name")
    return Path("manifests") / f"{name}.parquet"


def _report_json(report: BuildReport) -> dict[str, Any]:
    return {
        "manifest": str(report.path),
        "rows": report.num_rows,
        "probed": report.num_probed,
        "hashed": report.num_hashed,
        "reused": report.num_reused,
        "removed": report.num_removed,
        "failed": len(report.failures),
        "failures": [{"path": path, "probe_error": error} for path, error in report.failures],
        "notes": list(report.notes),
    }


def _print_report(report: BuildReport, urls: Sequence[str]) -> None:
    from fouls.manifests.summary import summarise
    from fouls.manifests.table import read_manifest

    for note in report.notes:
        console.warn(note)
    if report.num_removed:
        console.warn(f"{report.num_removed:,} videos of the last build are not listed any more and are gone")
    manifest_summary.print_splits(summarise(read_manifest(report.path)), title=str(report.path))
    hashed = f" ({report.num_hashed:,} touched, the same bytes)" if report.num_hashed else ""
    console.say(
        f"{report.num_rows:,} videos: {report.num_probed:,} probed, {report.num_reused:,} unchanged{hashed}, "
        f"{len(report.failures):,} could not be probed"
    )
    _print_failures(report.failures)
    _print_next_step(report.path, usable=report.num_rows > len(report.failures), urls=urls)


def _print_next_step(path: Location, *, usable: bool, urls: Sequence[str] = ()) -> None:
    manifest = "" if path == Path("manifests") else f" --manifest {path}"
    if usable:
        allowed = "".join(f" --allow-urls {url}" for url in urls)
        console.next_step(f"fouls extract --backbone videomae{manifest}{allowed}")
    else:
        console.next_step("no video can be used; mend the paths or files above and build again")


@app.command()
def show(
    path: Annotated[
        Location, typer.Argument(metavar="[PATH]", help="A manifest, or a folder of them; or its URL.", parser=location)
    ] = Path("manifests"),
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all", help=f"List every class and failure, not the first {CLASSES_SHOWN} and {FAILURES_SHOWN}."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Count a manifest by split, task and class, and list what could not be probed.

    A sample counts once, however many views it has.
    """
    from fouls.manifests.summary import summarise
    from fouls.manifests.table import manifest_files, read_manifest

    table = read_manifest(path)
    summary = summarise(table)
    if as_json:
        typer.echo(console.to_json(manifest_summary.as_json(path, table, summary), indent=2))
        return
    files = manifest_files(path)
    manifest_summary.print_splits(
        summary, title=str(path) if len(files) == 1 else f"{path} ({', '.join(file.name for file in files)})"
    )
    for task in summary.classes:
        manifest_summary.print_classes(summary, task, None if all_classes else CLASSES_SHOWN)
    _print_failures([(video, error) for _, video, error in summary.failures], None if all_classes else FAILURES_SHOWN)
    _print_next_step(path, usable=table.num_rows > len(summary.failures))


def _print_failures(failures: Any, limit: int | None = FAILURES_SHOWN) -> None:
    if not failures:
        return
    shown = failures[:limit]
    console.table("could not be probed", ["video", "why"], shown)
    if len(shown) < len(failures):
        console.say(f"… and {len(failures) - len(shown):,} more; `fouls manifest show --all` or --json lists them")
