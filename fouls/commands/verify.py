"""``fouls verify``: whether a store can be trusted, and what to do where it can't."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.commands import console
from fouls.commands.store import AsJson, StorePath

if TYPE_CHECKING:
    from fouls.cache.verification.findings import Finding, VerifyReport

MOST_LINES = 40
"""Findings that are printed; ``--json`` has them all."""


def verify(
    path: StorePath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; put broken blocks back to 'to do'.")
    ] = False,
    json_output: AsJson = False,
) -> None:
    """Read everything back: checksums, NaN, shapes, index against arrays, ledger against both.

    Ends with 0 when the store is whole, with 1 when something is damaged.

    fouls verify cache/videomae
    """
    from fouls.cache.repair import repair as mend

    if repair:
        repaired = mend(path, _check)
        mended, report = repaired.mended, repaired.report
    else:
        mended, report = (), _check(path)
    if json_output:
        typer.echo(json.dumps({"store": str(path), **report.to_dict(), "mended": mended}))
    else:
        for line in mended:
            console.out.print(line)
        _print_report(path, report, repaired=repair)
    if not report.whole:
        raise typer.Exit(1)


def _check(path: Path) -> VerifyReport:
    from fouls.cache.ledger import record_files
    from fouls.cache.verify import verify as run

    with console.progress(f"{path}", len(record_files(path)), "blocks") as advance:
        return run(path, advance)


def _print_report(path: Path, report: VerifyReport, *, repaired: bool) -> None:
    damage = [finding for finding in report.findings if finding.damage]
    harmless = [finding for finding in report.findings if not finding.damage]
    if harmless:
        _print_findings(f"{path}: not clean, but nothing is lost", harmless)
    if damage:
        _print_findings(f"{path}: damaged", damage)
    else:
        console.out.print(f"{path}: whole; {report.blocks:,} blocks are as they were written")
    _print_next_step(path, report, repaired=repaired)


def _print_findings(title: str, findings: list[Finding]) -> None:
    from fouls.cache.verification.findings import REMEDIES

    rows = [[finding.where, finding.message, finding.remedy] for finding in findings[:MOST_LINES]]
    console.table(title, ["where", "what", "remedy"], rows)
    if len(findings) > MOST_LINES:
        console.out.print(f"… and {len(findings) - MOST_LINES:,} more; --json lists them")
    for remedy, count in Counter(finding.remedy for finding in findings).items():
        console.out.print(f"{remedy} ({count:,}): {REMEDIES[remedy]}")


def _print_next_step(path: Path, report: VerifyReport, *, repaired: bool) -> None:
    if report.repairable and not repaired:
        console.next_step(f"fouls verify {path} --repair")
    elif not report.whole:
        console.next_step("restore what is named above from a backup, or extract into another --out")
    elif repaired:
        console.next_step(f"fouls status {path}; `fouls extract` with the options of before does what is to do")
