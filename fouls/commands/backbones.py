"""``fouls backbones``: what there is, without loading any of it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console

if TYPE_CHECKING:
    from fouls.pipeline.backbones.registry import BackboneEntry

_OPEN = "as the checkpoint has it"


def backbones(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the backbones: name, dimension, frames, size, pools, weights.

    fouls backbones videomae
    """
    from fouls.pipeline.backbones.registry import BACKBONES, find_entry

    entries = BACKBONES if name is None else {name: find_entry(name)}
    if as_json:
        typer.echo(json.dumps([_facts(key, entry) for key, entry in entries.items()], indent=2))
    elif name is None:
        _print_list(entries)
    else:
        _print_one(name, entries[name])


def _facts(name: str, entry: BackboneEntry) -> dict[str, Any]:
    plain = {key: value for key, value in dataclasses.asdict(entry).items() if key != "build"}
    return {"name": name, **plain, "default_pool": next(iter(entry.pools), None)}


def _print_list(entries: dict[str, BackboneEntry]) -> None:
    columns = ["name", "dim", "frames", "size", "pools (the first is the default)", "weights"]
    rows = [
        (
            name,
            entry.dim,
            entry.num_frames,
            entry.size,
            ", ".join(entry.pools),
            entry.weights or f"a file: {entry.file_hint or 'yours'}",
        )
        for name, entry in entries.items()
        if entry.alias_of is None
    ]
    console.table(None, columns, rows)
    for name, entry in entries.items():
        if entry.alias_of is not None:
            console.out.print(f"{name} is {entry.alias_of}")
    console.out.print("hf:ORG/NAME and hf:FOLDER are any video classifier of transformers")
    console.next_step("fouls backbones NAME shows one in full; fouls extract --backbone NAME uses it")


def _print_one(name: str, entry: BackboneEntry) -> None:
    named = [f"{text or entry.file_hint} (--pretrained-source {source})" for source, text in entry.sources.items()]
    pools = [f"{pool} ({' × '.join(map(str, shape))})" for pool, shape in entry.pools.items()]
    rows = [
        ("dimension", str(entry.dim or _OPEN)),
        ("frames a clip", str(entry.num_frames or _OPEN)),
        ("input", f"{entry.size} × {entry.size}" if entry.size else _OPEN),
        ("pools", ", ".join(pools) or _OPEN),
        ("default pool", next(iter(entry.pools), _OPEN)),
        ("default weights", entry.weights or f"none: --weights {entry.file_hint or 'FILE'}"),
        ("published weights", ", ".join(named) or "none"),
        ("licence of the weights", entry.licence or "not stated by their publisher"),
    ]
    title = name if entry.alias_of is None else f"{name} = {entry.alias_of}"
    console.table(title, ["", ""], rows)
    console.next_step(f"fouls extract --backbone {name}")
