"""``fouls verify``: whether a store can be trusted, and what to do where it can't."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.commands import console
from fouls.commands.store import AsJson, StorePath
from fouls.commands.urls import AllowUrls, VideoCache, VideoCacheBytes, check_asked_for, make_downloads
from fouls.objects.location import Location, location

if TYPE_CHECKING:
    from fouls.cache.verification.findings import Finding, VerifyReport
    from fouls.pipeline.recompute import Recomputation
    from fouls.video.downloads import Downloads

MOST_LINES = 40
"""Findings that are printed; ``--json`` has them all."""


def verify(
    path: StorePath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; put broken blocks back to 'to do'.")
    ] = False,
    recompute: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Extract N random done rows again and compare them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the rows of --recompute.")] = 0,
    manifest: Annotated[
        Location | None,
        typer.Option(
            parser=location,
            help="Where the videos of --recompute are.",
            show_default="where they were at the extraction",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the weights for --recompute lie now.", show_default="where they lay at the extraction"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Of the backbone of --recompute: cpu, cuda, cuda:1.")] = "cpu",
    allow_urls: AllowUrls = None,
    video_cache: VideoCache = None,
    video_cache_bytes: VideoCacheBytes = "20GB",
    json_output: AsJson = False,
) -> None:
    """Read everything back: checksums, NaN, shapes, index against arrays, ledger against both.

    Ends with 0 when the store is whole, with 1 when something is damaged or differs.

    fouls verify cache/videomae
    """
    from fouls.cache.repair import repair as mend

    if repair:
        repaired = mend(path, _check)
        mended, report = repaired.mended, repaired.report
    else:
        mended, report = (), _check(path)
    recomputed = None
    if recompute is not None and report.whole:
        downloads = make_downloads(allow_urls, video_cache, video_cache_bytes)
        recomputed = _recompute(
            path, recompute, downloads, seed=seed, manifest=manifest, weights=weights, device=device
        )
    if json_output:
        again = {} if recompute is None else {"recomputed": recomputed and recomputed.to_dict()}
        typer.echo(json.dumps({"store": str(path), **report.to_dict(), "mended": mended, **again}))
    else:
        for line in mended:
            console.say(line)
        _print_report(path, report, repaired=repair)
        if recomputed is not None:
            _print_recomputation(path, recomputed)
    if not report.whole or (recomputed is not None and recomputed.differing):
        raise typer.Exit(1)


def _recompute(
    path: Location,
    num_rows: int,
    downloads: Downloads,
    *,
    seed: int,
    manifest: Location | None,
    weights: str | None,
    device: str,
) -> Recomputation:
    from fouls.cache.store import open_store
    from fouls.manifests.table import read_manifest
    from fouls.pipeline.options import ExtractOptions
    from fouls.pipeline.recompute import recompute as run
    from fouls.predict import load_run_backbone

    store = open_store(path)
    if manifest is None:
        manifest = ExtractOptions.from_dict(store.made_by.get("options", {}), store=path, retry_failed=False).manifest
        check_asked_for(manifest, downloads)
    table = read_manifest(manifest)
    with console.err.status("loading the backbone"):
        backbone = load_run_backbone(store, weights=weights, device=device)
    with console.err.status(f"extracting {num_rows} rows again"):
        return run(store, backbone, table, num_rows=num_rows, seed=seed, downloads=downloads)


def _check(path: Location) -> VerifyReport:
    from fouls.cache.ledger import record_files
    from fouls.cache.verify import verify as run

    with console.progress(f"{path}", len(record_files(path)), "blocks") as advance:
        return run(path, advance)


def _print_report(path: Location, report: VerifyReport, *, repaired: bool) -> None:
    damage = [finding for finding in report.findings if finding.damage]
    harmless = [finding for finding in report.findings if not finding.damage]
    if harmless:
        _print_findings(f"{path}: not clean, but nothing is lost", harmless)
    if damage:
        _print_findings(f"{path}: damaged", damage)
    else:
        console.say(f"{path}: whole; {report.blocks:,} blocks are as they were written")
    _print_next_step(path, report, repaired=repaired)


def _print_findings(title: str, findings: list[Finding]) -> None:
    from fouls.cache.verification.findings import REMEDIES

    rows = [[finding.where, finding.message, finding.remedy] for finding in findings[:MOST_LINES]]
    console.table(title, ["where", "what", "remedy"], rows)
    if len(findings) > MOST_LINES:
        console.say(f"… and {len(findings) - MOST_LINES:,} more; --json lists them")
    for remedy, count in Counter(finding.remedy for finding in findings).items():
        console.say(f"{remedy} ({count:,}): {REMEDIES[remedy]}")


def _print_next_step(path: Location, report: VerifyReport, *, repaired: bool) -> None:
    if report.repairable and not repaired:
        console.next_step(f"fouls verify {path} --repair")
    elif not report.whole:
        console.next_step("restore what is named above from a backup, or extract into another --out")
    elif repaired:
        console.next_step(f"fouls status {path}; `fouls extract` with the options of before does what is to do")


def _print_recomputation(path: Location, recomputed: Recomputation) -> None:
    rows = [
        [pool, f"{found.cosine:.6f}", found.difference, found.relative_difference, len(found.differing)]
        for pool, found in recomputed.pools.items()
    ]
    columns = ["pool", "lowest cosine", "largest difference", "by magnitude", "rows that differ"]
    console.say(f"{len(recomputed.rows)} rows extracted again; allowed by magnitude: {recomputed.tolerance:g}")
    console.table(None, columns, rows)
    for row, reason in recomputed.unavailable.items():
        console.warn(f"row {row} could not be compared: {reason}")
    if recomputed.differing:
        named = ", ".join(str(row) for row in recomputed.differing[:10])
        console.say(f"{path}: {len(recomputed.differing)} rows are not what the backbone says now: {named}")
        console.next_step(
            "look whether the decoders and libraries are those of then (`made_by` in zarr.json has the versions); "
            "if they are, extract into another --out"
        )
