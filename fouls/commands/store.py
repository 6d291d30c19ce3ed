"""``fouls status``, ``fouls failures``: what a store holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.cache.store import Store
    from fouls.cache.summary import Summary

StorePath = Annotated[Path, typer.Argument(help="The store's folder, such as cache/videomae.", metavar="STORE")]
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
            ["failed", f"{summary.failed:,}"],
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
    json_output: AsJson = False,
) -> None:
    """The failed rows and why."""
    from fouls.cache.store import open_store
    from fouls.cache.summary import failures as find_failures

    store = open_store(path)
    if retry:
        _retry(store, json_output)
        return
    failed = find_failures(store)
    if json_output:
        typer.echo(json.dumps(failed))
        return
    if not failed:
        console.out.print(f"{path}: no failed rows")
        return
    columns = ["row", "video_id", "code", "message", "decoder", "last_good_frame", "attempts"]
    columns = [column for column in columns if any(failure[column] is not None for failure in failed)]
    console.table(f"{path}: failed rows", columns, [[failure[column] for column in columns] for failure in failed])
    counts = Counter(failure["code"] for failure in failed)
    console.table(None, ["class of error", "rows"], [[code, count] for code, count in counts.most_common()])
    console.next_step(f"mend the files, build the manifest again, then fouls failures {path} --retry")


def _retry(store: Store, json_output: bool) -> None:
    from fouls.commands import extract
    from fouls.pipeline.options import ExtractOptions

    options = ExtractOptions.from_dict(store.made_by["options"], store=store.path, retry_failed=True)
    extract.run(options, json_output=json_output)
