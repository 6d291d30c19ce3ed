"""``fouls backbones``: what there is, how large it is, what its clips are. Loads no weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.errors import ConfigError

if TYPE_CHECKING:
    from fouls.pipeline.backbones.backbone import Backbone
    from fouls.pipeline.backbones.counting import Count
    from fouls.pipeline.backbones.registry import BackboneEntry
    from fouls.pipeline.clip_picture import ClipPicture

_OPEN = "as the checkpoint has it"


def backbones(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    count: Annotated[
        bool, typer.Option("--count", help="List parameters and multiply-adds too; takes half a minute.")
    ] = False,
    frames: Annotated[
        int | None, typer.Option(help="With a name: for so many frames a clip, where the backbone leaves a choice.")
    ] = None,
) -> None:
    """List the backbones: name, dimension, frames, size, pools, weights, licence; or show one with its clips.

    Parameters and multiply-adds are counted on the net itself, without weights.

    fouls backbones videomae
    """
    from fouls.pipeline.backbones.registry import BACKBONES, find_entry

    if name is not None:
        _show(name, find_entry(name), frames, as_json=as_json)
        return
    if frames is not None:
        raise ConfigError(f"--frames {frames} is for one backbone: fouls backbones NAME --frames {frames}")
    counts = _count_all(BACKBONES) if count else {}
    if as_json:
        plain = [_facts(key, entry) | _counted(counts.get(key)) for key, entry in BACKBONES.items()]
        typer.echo(json.dumps(plain, indent=2))
    else:
        _print_list(BACKBONES, counts)


def _count_all(entries: Mapping[str, BackboneEntry]) -> dict[str, Count]:
    from fouls.pipeline.backbones.counting import count
    from fouls.pipeline.backbones.loading import load_blank

    counts: dict[str, Count] = {}
    with console.progress("counting", len(entries), "backbones") as advance:
        for name, entry in sorted(entries.items(), key=lambda item: item[1].alias_of is not None):
            counts[name] = counts[entry.alias_of] if entry.alias_of else count(load_blank(name))
            advance(1)
    return counts


def _facts(name: str, entry: BackboneEntry) -> dict[str, Any]:
    plain = {key: value for key, value in dataclasses.asdict(entry).items() if key != "build"}
    return {"name": name, **plain, "default_pool": next(iter(entry.pools), None)}


def _counted(count: Count | None) -> dict[str, int]:
    return {} if count is None else dataclasses.asdict(count)


def _print_list(entries: Mapping[str, BackboneEntry], counts: Mapping[str, Count]) -> None:
    columns = ["name", "dim", "frames", "size", "pools (the first is the default)"]
    columns += [*(["parameters", "multiply-adds a clip"] if counts else []), "weights", "licence"]
    rows = [
        (
            name,
            entry.dim,
            entry.num_frames,
            entry.size,
            ", ".join(entry.pools),
            *((_millions(counts[name].parameters), _billions(counts[name].multiply_adds)) if counts else ()),
            entry.weights or f"a file: {entry.file_hint or 'yours'}",
            entry.licence or "not stated",
        )
        for name, entry in entries.items()
        if entry.alias_of is None
    ]
    console.table(None, columns, rows)
    for name, entry in entries.items():
        if entry.alias_of is not None:
            console.say(f"{name} is {entry.alias_of}")
    console.say("hf:ORG/NAME and hf:FOLDER are any video classifier of transformers")
    console.next_step("fouls backbones NAME shows one in full; fouls extract --backbone NAME uses it")


def _millions(number: int) -> str:
    return f"{number / 1e6:,.1f} M"


def _billions(number: int) -> str:
    return f"{number / 1e9:,.1f} G"


def _show(name: str, entry: BackboneEntry, num_frames: int | None, *, as_json: bool) -> None:
    facts: dict[str, Any] = _facts(name, entry)
    clips: list[ClipPicture] = []
    if not _is_elsewhere(entry):
        from fouls.pipeline.backbones.counting import count
        from fouls.pipeline.backbones.loading import load_blank
        from fouls.pipeline.clip_picture import draw_clips

        with console.err.status("counting"):
            backbone = load_blank(name, num_frames=num_frames)
            facts |= _found(backbone) | _counted(count(backbone))
            clips = draw_clips(backbone)
            facts["clips"] = [dataclasses.asdict(clip) for clip in clips]
    if as_json:
        typer.echo(json.dumps([facts], indent=2))
        return
    _print_one(facts, entry)
    _print_clips(clips)
    console.next_step(f"fouls extract --backbone {name}")


def _is_elsewhere(entry: BackboneEntry) -> bool:
    """Whether a checkpoint would have to be downloaded to tell."""
    return entry.dim is None and not Path(entry.weights or "").expanduser().is_dir()


def _found(backbone: Backbone) -> dict[str, Any]:
    """What the net itself says; the entry may leave it to the checkpoint, or be for another number of frames."""
    return {
        "dim": backbone.pools[backbone.default_pool][-1],
        "num_frames": backbone.num_frames,
        "size": backbone.preprocessing.crop,
        "pools": backbone.pools,
        "default_pool": backbone.default_pool,
    }


def _print_one(facts: Mapping[str, Any], entry: BackboneEntry) -> None:
    named = [f"{text or entry.file_hint} (--pretrained-source {source})" for source, text in entry.sources.items()]
    pools = [f"{pool} ({' × '.join(map(str, shape))})" for pool, shape in facts["pools"].items()]
    size = facts["size"]
    rows = [
        ("dimension", str(facts["dim"] or _OPEN)),
        ("frames a clip", str(facts["num_frames"] or _OPEN)),
        ("input", f"{size} × {size}" if size else _OPEN),
        ("pools", ", ".join(pools) or _OPEN),
        ("default pool", facts["default_pool"] or _OPEN),
        ("default weights", entry.weights or f"none: --weights {entry.file_hint or 'FILE'}"),
        ("published weights", ", ".join(named) or entry.weights or "none"),
        ("licence of the weights", entry.licence or "not stated by their publisher"),
    ]
    if "parameters" in facts:
        rows[5:5] = [
            ("parameters", _millions(facts["parameters"])),
            ("multiply-adds a clip", _billions(facts["multiply_adds"])),
        ]
    title = facts["name"] if entry.alias_of is None else f"{facts['name']} = {entry.alias_of}"
    console.table(title, ["", ""], rows)


_REACH = {"uniform": ": the whole video, however long", "stream": ": a row every so many, of all frames up to there"}


def _print_clips(clips: list[ClipPicture]) -> None:
    if clips:
        console.say(f"a clip from {len(clips[0].picture)} frames at 25 a second; f is a frame that it sees:")
    for clip in clips:
        label = clip.sampling + (" (the default)" if clip.is_default else "")
        taken = f"{clip.num_frames} frames" + (f", stride {clip.frame_stride}" if clip.frame_stride else "")
        span = f"a span of {clip.span_frames} frames, {clip.span_seconds:.2f} s{_REACH.get(clip.sampling, '')}"
        console.say(f"{label}: {taken}; {span}")
        console.say(f"  {clip.picture}")
