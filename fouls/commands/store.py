"""``fouls status``, ``fouls failures``: what a store holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.commands.urls import AllowUrls, VideoCache, VideoCacheBytes, check_asked_for, make_downloads
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.cache.store import Store
    from fouls.cache.summary import Summary
    from fouls.video.downloads import Downloads

StorePath = Annotated[
    Location,
    typer.Argument(help="The store's folder, such as cache/videomae, or its URL.", metavar="STORE", parser=location),
]
MOST_LINES = 200
"""Failed rows that are printed."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(path: StorePath, json_output: AsJson = False) -> None:
    """Done, failed, to do; the spec; the throughput; the bottleneck."""
    from fouls.cache.store import open_store
    from fouls.cache.summary import summarise

    store = open_store(path)
    summary = summarise(store)
    if json_output:
        typer.echo(json.dumps(summary.to_dict()))
        return
    _print_counts(store, summary)
    console.table("spec", ["", ""], _flat(summary.spec))
    if summary.todo:
        console.next_step("give the `fouls extract` command again: it does only what is to do")
    elif summary.failed:
        console.next_step(f"fouls failures {path}")
    else:
        console.next_step(f"fouls train-head --features {path}")


def _print_counts(store: Store, summary: Summary) -> None:
    seed = store.spec.weights.random_seed
    weights = f"sha256 {store.spec.weights.sha256[:12]}…" if seed is None else f"made up (random:{seed})"
    throughput = "" if summary.rows_per_second is None else f"{summary.rows_per_second:.3g} rows/s"
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary.seconds.items())
    console.table(
        str(store.path),
        ["", ""],
        [
            ["rows", f"{summary.rows:,} of {summary.videos:,} videos"],
            ["done", f"{summary.done:,}"],
            ["failed", f"{summary.failed:,}{_in_quarantine(summary)}"],
            ["to do", f"{summary.todo:,}"],
            *([["retired", f"{summary.retired:,}"]] if summary.retired else []),
            ["pools", ", ".join(f"{pool} {_shape(shape)}" for pool, shape in store.pools.items())],
            ["weights", weights],
            ["fingerprint", summary.fingerprint],
            ["size", f"{summary.bytes / 1e6:,.1f} MB"],
            ["decoded by", ", ".join(f"{decoder} {rows:,}" for decoder, rows in summary.decoders.items())],
            ["throughput", throughput],
            ["seconds", stages],
            ["bottleneck", summary.bottleneck],
        ],
    )


def _in_quarantine(summary: Summary) -> str:
    return f" ({summary.quarantined:,} in quarantine)" if summary.quarantined else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape)


def _flat(spec: dict[str, Any], prefix: str = "") -> list[list[str]]:
    rows = []
    for name, value in spec.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append([prefix + name, str(value)])
    return rows


def failures(
    path: StorePath,
    retry: Annotated[bool, typer.Option("--retry", help="Try them again: `extract --retry-failed`.")] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="CODES", help="Those with these classes of error alone; commas between them."),
    ] = None,
    include_quarantined: Annotated[
        bool,
        typer.Option("--include-quarantined", help="Retry also what keeps killing the decoder."),
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them all, as a Parquet table.", dir_okay=False)
    ] = None,
    allow_urls: AllowUrls = None,
    video_cache: VideoCache = None,
    video_cache_bytes: VideoCacheBytes = "20GB",
    json_output: AsJson = False,
) -> None:
    """The failed rows and why.

    fouls failures cache/videomae --retry --only timeout
    """
    from fouls.cache.failures import failures as find_failures
    from fouls.cache.failures import write_failures
    from fouls.cache.quarantine import Retry
    from fouls.cache.store import open_store
    from fouls.commands.extract import parse_names

    codes = Retry(only=parse_names(only)).only
    store = open_store(path)
    if retry:
        downloads = make_downloads(allow_urls, video_cache, video_cache_bytes)
        _retry(store, codes, downloads, include_quarantined=include_quarantined, json_output=json_output)
        return
    table = find_failures(store)
    failed = [failure for failure in table.to_pylist() if not codes or failure["code"] in codes]
    if parquet is not None:
        write_failures(parquet, table.filter([not codes or code in codes for code in table["code"].to_pylist()]))
    if json_output:
        typer.echo(json.dumps(failed))
    else:
        _print_failures(path, failed)
        if parquet is not None:
            console.say(f"{len(failed):,} rows → {parquet}")


def _print_failures(path: Location, failed: list[dict[str, Any]]) -> None:
    if not failed:
        console.say(f"{path}: no failed rows")
        return
    columns = ["row", "video_id", "code", "message", "decoder", "last_good_frame", "attempts"]
    columns = [column for column in columns if any(failure[column] is not None for failure in failed)]
    shown = failed[:MOST_LINES]
    console.table(f"{path}: failed rows", columns, [[failure[column] for column in columns] for failure in shown])
    if len(failed) > MOST_LINES:
        console.say(f"… and {len(failed) - MOST_LINES:,} more; --json and --parquet have them all")
    _print_classes(failed)
    if any(failure["quarantined"] for failure in failed):
        console.say("in quarantine: what keeps killing the decoder; a retry needs --include-quarantined for it")
    console.next_step(f"mend the files, build the manifest again, then fouls failures {path} --retry")


def _print_classes(failed: list[dict[str, Any]]) -> None:
    """Counts by class of error, and how many of each are in quarantine."""
    counts = Counter(failure["code"] for failure in failed)
    quarantined = Counter(failure["code"] for failure in failed if failure["quarantined"])
    columns = ["class of error", "rows", *(["in quarantine"] if quarantined else [])]
    rows: list[list[object]] = [
        [code, count, *([quarantined[code]] if quarantined else [])] for code, count in counts.most_common()
    ]
    console.table(None, columns, rows)


def _retry(
    store: Store, codes: tuple[str, ...], downloads: Downloads, *, include_quarantined: bool, json_output: bool
) -> None:
    from fouls.commands.extracting import run
    from fouls.pipeline.options import ExtractOptions

    options = ExtractOptions.from_dict(
        store.made_by.get("options", {}),
        store=store.path,
        retry_failed=True,
        retry_only=codes,
        include_quarantined=include_quarantined,
        downloads=downloads,
    )
    check_asked_for(options.manifest, downloads)
    run([options], json_output=json_output)
