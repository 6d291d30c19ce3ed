"""Building a manifest: list the videos, probe what is new or changed, write the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders import BUILDERS
from fouls.manifests.builders.listing import BuildOptions, Listing, Row
from fouls.manifests.journal import journal_path
from fouls.manifests.keypoints import keypoints_array
from fouls.manifests.probing import SEGMENT_ERROR, ProbingOptions, ProgressBar, no_progress, probe_rows, probes_of
from fouls.manifests.schema import KEYPOINTS_COLUMN, is_url, manifest_schema
from fouls.manifests.table import read_manifest, validate, write_manifest
from fouls.video.probe import Probe

_OPTION_FLAGS = {
    "roots": "--root",
    "task": "--task",
    "label_from": "--label-from",
    "split_from": "--split-from",
    "splits": "--split",
    "class_names": "--class-names",
    "multi_label": "--multi-label",
    "label_set": "--label-set",
    "trial_frames": "--trial-frames",
    "frame_offset": "--frame-offset",
    "merges": "--merge",
    "keypoints": "--keypoints",
}

_NOT_UTF8 = "unreadable: its name is not UTF-8, rename the file"
_NOT_YET = Probe(info=None, size_bytes=None, modified_ns=None, content_hash=None, error="not probed yet")


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did."""

    path: Path
    num_rows: int
    num_probed: int
    """Files that were opened."""
    num_hashed: int
    """Files that were touched since the last build, and whose bytes turned out to be the same."""
    num_reused: int
    """Files taken over from the last build, those hashed included."""
    num_removed: int
    """Videos of the last build that are not listed any more."""
    failures: tuple[tuple[str, str], ...]
    """(path, reason) of the videos that could not be probed."""
    notes: tuple[str, ...]
    """What was inferred, or looks wrong."""


def check_options(format_name: str, options: BuildOptions) -> None:
    """Refuse a format that there is not, and options that the format does not read.

    Raises:
        ConfigError: names the option and the formats that read it.
    """
    if format_name not in BUILDERS:
        raise ConfigError(f"--format is {format_name!r}; allowed: {', '.join(BUILDERS)}")
    if not options.sources:
        raise ConfigError("no source is given; name a folder or a file")
    not_given = BuildOptions(sources=options.sources)
    for name, flag in _OPTION_FLAGS.items():
        if getattr(options, name) != getattr(not_given, name) and name not in BUILDERS[format_name].reads:
            readers = [reader for reader, builder in BUILDERS.items() if name in builder.reads]
            raise ConfigError(f"{flag} is not read by --format {format_name}; it is by: {', '.join(readers)}")


def list_videos(format_name: str, options: BuildOptions) -> Listing:
    """What the sources hold, without opening a video.

    Raises:
        ConfigError: the options don't fit the format or each other.
        ManifestError: a source is not as it should be.
    """
    check_options(format_name, options)
    return BUILDERS[format_name].collect(options)


def build_manifest(
    listing: Listing, path: Path, probing: ProbingOptions | None = None, progress: ProgressBar = no_progress
) -> BuildReport:
    """Probe the videos of a listing and write their manifest.

    What stands at ``path`` is the last build: files that it knows and that have not changed are not opened again.

    Args:
        listing: what :func:`list_videos` gives.
        path: the Parquet file to write.
        probing: workers, timeout, and whether to reuse.
        progress: opens a progress bar, as :func:`fouls.commands.console.progress` does.

    Raises:
        ManifestError: two videos have one id, views of a sample contradict each other, or the last build can't be read.
    """
    video_ids = _video_ids(listing)
    # What the listing gets wrong is said now, not after hours of probing.
    validate(_table(listing, video_ids, [_NOT_YET] * len(video_ids)), str(path))
    last = read_manifest(path) if path.exists() else None
    known = {} if last is None else probes_of(last)
    probed = probe_rows(listing.rows, known, path, probing or ProbingOptions(), progress)
    if listing.settle is not None:
        listing = listing.settle({path: probe.info for path, probe in probed.probes.items() if probe.info is not None})
    table = _table(listing, video_ids, [probed.probes[row.path] for row in listing.rows])
    write_manifest(table, path)
    journal_path(path).unlink(missing_ok=True)
    errors = table["probe_error"].to_pylist()
    failures = tuple(
        (_as_utf8(row.path), error) for row, error in zip(listing.rows, errors, strict=True) if error is not None
    )
    return BuildReport(
        path=path,
        num_rows=table.num_rows,
        num_probed=probed.num_probed,
        num_hashed=probed.num_hashed,
        num_reused=probed.num_reused,
        num_removed=0 if last is None else len(set(last["video_id"].to_pylist()) - set(video_ids)),
        failures=failures,
        notes=(*listing.notes, *_suspicions(listing, probed.missing)),
    )


def _video_ids(listing: Listing) -> list[str]:
    ids = [row.video_id if row.video_id is not None else _default_id(row, listing.root) for row in listing.rows]
    places: dict[str, Row] = {}
    for video_id, row in zip(ids, listing.rows, strict=True):
        other = places.setdefault(video_id, row)
        if other is not row:
            same = "the same file" if other.path == row.path else f"files {other.path} and {row.path}"
            raise ManifestError(
                f"video_id {video_id!r} twice, for {same}, listed at {other.place} and {row.place}; keep one of them, "
                "or give each its own in the column video_id of a table (--format csv)"
            )
    return ids


def _default_id(row: Row, root: Path) -> str:
    """The path below the root without its ending; a segment adds its bounds."""
    video_id = os.path.splitext(_manifest_path(_as_utf8(row.path), root))[0]
    if row.start_frame is None and row.stop_frame is None:
        return video_id
    bounds = (str(bound) if bound is not None else "" for bound in (row.start_frame, row.stop_frame))
    return f"{video_id}:{'-'.join(bounds)}"


def _manifest_path(path: str, root: Path) -> str:
    """Relative to the root where it is below it."""
    prefix = os.path.join(root, "")
    return path if is_url(path) else path.removeprefix(prefix)


def _as_utf8(path: str) -> str:
    """A path as text can hold it: bytes that are no UTF-8 as ``\\xff``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _table(listing: Listing, video_ids: Sequence[str], probes: Sequence[Probe]) -> pa.Table:
    """The manifest's table, in the listing's order."""
    rows = listing.rows
    columns: dict[str, list[object] | pa.Array] = {
        "video_id": list(video_ids),
        "sample_id": [row.sample_id or video_id for row, video_id in zip(rows, video_ids, strict=True)],
        "path": [_manifest_path(_as_utf8(row.path), listing.root) for row in rows],
        "probe_error": [_error(row, probe) for row, probe in zip(rows, probes, strict=True)],
    }
    for name in ("view", "view_kind", "replay_speed", "split", "start_frame", "stop_frame"):
        columns[name] = [getattr(row, name) for row in rows]
    for name in ("num_frames", "width", "height", "fps", "duration_seconds", "codec"):
        columns[name] = [None if probe.info is None else getattr(probe.info, name) for probe in probes]
    for name in ("size_bytes", "modified_ns", "content_hash"):
        columns[name] = [getattr(probe, name) for probe in probes]
    for task in listing.tasks:
        columns[f"{listing.kind_of(task)}.{task}"] = [row.labels.get(task) for row in rows]
    if listing.keypoints:
        columns[KEYPOINTS_COLUMN] = keypoints_array([row.keypoints for row in rows], len(listing.keypoints))
    schema = manifest_schema(
        listing.tasks,
        root=str(listing.root),
        multi_labels=[task for task in listing.tasks if listing.kind_of(task) == "multi_label"],
        frame_labels=[task for task in listing.tasks if listing.kind_of(task) == "frame_label"],
        keypoints=listing.keypoints,
    )
    try:
        return pa.Table.from_pydict(columns, schema=schema)
    except UnicodeEncodeError as error:
        raise ManifestError(f"name {error.object!r} is not UTF-8; rename what has it") from error


def _error(row: Row, probe: Probe) -> str | None:
    """Why a row can't be used: its file's fault, or a segment that its video does not have."""
    if _as_utf8(row.path) != row.path:
        return _NOT_UTF8
    if probe.info is None or probe.error is not None:
        return probe.error
    num_frames = probe.info.num_frames
    for name, bound, limit in (
        ("start_frame", row.start_frame, num_frames - 1),
        ("stop_frame", row.stop_frame, num_frames),
    ):
        if bound is not None and bound > limit:
            return f"{SEGMENT_ERROR}: {name} is {bound}, the video has {num_frames} frames"
    return None


def _suspicions(listing: Listing, missing: frozenset[str]) -> list[str]:
    """What is not wrong as such, but looks like a slip."""
    notes = []
    if len(missing) > 1 and missing == {row.path for row in listing.rows}:
        notes.append(
            f"none of the {len(missing)} files is there; is {listing.root} the folder that they lie in (--root)?"
        )
    for task, names in listing.tasks.items():
        used: set[int] = set()
        for row in listing.rows:
            labels = row.labels.get(task)
            used.update([labels] if isinstance(labels, int) else labels or ())
        absent = [name for index, name in enumerate(names) if index not in used]
        if absent:
            notes.append(f"task {task!r}: {len(absent)} of {len(names)} classes have no video, {absent[0]!r} for one")
    return notes
