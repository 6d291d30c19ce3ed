"""What ``fouls extract`` and ``fouls failures --retry`` do: extract with progress, and say what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.pipeline.calibration import Estimate
    from fouls.pipeline.extract import ExtractReport
    from fouls.pipeline.options import ExtractOptions
    from fouls.pipeline.prepare import Prepared


def run(options: Sequence[ExtractOptions], *, dry_run: bool = False, json_output: bool = False) -> None:
    """Extract one backbone, or several that share the decoding.

    Raises:
        typer.Exit: with 1, when rows failed or are left to do.
    """
    from fouls.pipeline.prepare import prepare_all

    with console.err.status("loading the backbone" if len(options) == 1 else "loading the backbones"):
        prepared = prepare_all(options, on_fallback=lambda attempt: console.warn(str(attempt)))
    for each in prepared:
        for note in each.backbone.notes:
            console.warn(note)
    if dry_run:
        _dry_run(prepared, json_output)
        return
    try:
        reports = _extract(prepared)
    except KeyboardInterrupt:
        console.warn("interrupted: what is committed stays, and the same command goes on from there")
        raise typer.Exit(130) from None
    if json_output:
        plain = [_to_dict(each.options, report) for each, report in zip(prepared, reports, strict=True)]
        typer.echo(json.dumps(plain[0] if len(plain) == 1 else {"stores": plain}))
    else:
        for each in prepared:
            if each.backbone.compile_seconds is not None:
                console.say(f"compiling {each.backbone.name} took {_duration(each.backbone.compile_seconds)} of it")
        _print_reports([each.options for each in prepared], reports)
    if any(report.summary.failed or report.summary.todo for report in reports):
        raise typer.Exit(1)


def _extract(prepared: Sequence[Prepared]) -> list[ExtractReport]:
    from contextlib import ExitStack

    from fouls.pipeline.engine import DoneBlock
    from fouls.pipeline.extract import extract_all

    with ExitStack() as stack:
        advance = None

        def start(num_rows: int) -> None:
            nonlocal advance
            if num_rows:
                name = ", ".join(each.options.store.as_posix() for each in prepared)
                advance = stack.enter_context(console.progress(name, num_rows, "rows"))

        def step(done: DoneBlock) -> None:
            assert advance is not None
            advance(done.num_rows)

        return extract_all(prepared, on_tuned=console.warn, on_start=start, on_block=step)


def _to_dict(options: ExtractOptions, report: ExtractReport) -> dict[str, object]:
    about = {"store": str(options.store), "new_rows": report.new_rows, "orphans": report.orphans}
    return {**about, **report.summary.to_dict()}


def _print_reports(options: Sequence[ExtractOptions], reports: Sequence[ExtractReport]) -> None:
    for each, report in zip(options, reports, strict=True):
        _print_report(each, report)
    failed = [each.store for each, report in zip(options, reports, strict=True) if report.summary.failed]
    if failed:
        console.next_step("; ".join(f"fouls failures {store}" for store in failed))
    else:
        console.next_step("fouls train-head " + " ".join(f"--features {each.store}" for each in options))


def _print_report(options: ExtractOptions, report: ExtractReport) -> None:
    summary, store = report.summary, options.store
    counts = f"{summary.done} of {summary.rows} rows done, {summary.failed} failed, {summary.todo} to do"
    console.say(f"{store}: {counts} ({report.new_rows} new)")
    if report.orphans:
        console.warn(f"{report.orphans} rows to do belong to videos that {options.manifest} does not name any more")
    if options.weights and options.weights.startswith("random:"):
        console.warn(f"the weights are made up ({options.weights}): these features mean nothing")
    if options.retry_failed and summary.quarantined and not options.include_quarantined:
        console.warn(
            f"{summary.quarantined} failed rows are in quarantine, since they keep killing the decoder: left alone; "
            "--include-quarantined tries them too"
        )


def _dry_run(prepared: Sequence[Prepared], json_output: bool) -> None:
    from fouls.pipeline.calibration import estimate_all

    estimates = estimate_all(prepared)
    if json_output:
        plain = [each.to_dict() for each in estimates.stores]
        stores = [{"store": str(each.options.store), **its} for each, its in zip(prepared, plain, strict=True)]
        together = {"stores": stores, "seconds": estimates.seconds}
        typer.echo(json.dumps(plain[0] if len(plain) == 1 else together))
        return
    for each, estimated in zip(prepared, estimates.stores, strict=True):
        console.table(
            f"{each.options.store}: what `extract` would do", ["", ""], _rows(estimated, estimates.decode_workers)
        )
    if estimates.tuned is not None:
        console.warn(estimates.tuned)
    if len(prepared) > 1:
        console.say(f"all at once, each video decoded once: {_duration(estimates.seconds)}")
    console.next_step("the same command without --dry-run")


def _rows(estimated: Estimate, decode_workers: int) -> list[list[object]]:
    return [
        ["new rows", estimated.new_rows],
        ["rows to do", estimated.rows],
        ["blocks", estimated.blocks],
        ["bytes", estimated.bytes],
        ["clips a forward pass", estimated.batch_size],
        ["decoding processes a worker", decode_workers],
        ["time", _duration(estimated.seconds)],
    ]


def _duration(seconds: float | None) -> str:
    return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))
