"""What an unfinished build has probed, beside the manifest that it will become."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fouls.video.probe import Probe
from fouls.video.types import VideoInfo


def journal_path(manifest: Path) -> Path:
    """``.NAME.probes.jsonl``: hidden, so that nobody takes it for a manifest."""
    return manifest.with_name(f".{manifest.stem}.probes.jsonl")


@contextmanager
def open_journal(manifest: Path) -> Iterator[Callable[[str, Probe], None]]:
    """Gives a function that adds a line for a path and what was found there."""
    journal = journal_path(manifest)
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8", buffering=1) as file:
        file.write("\n")  # the line before may have been cut off
        yield lambda path, probe: print(json.dumps({"path": path, **dataclasses.asdict(probe)}), file=file)


def read_journal(manifest: Path) -> dict[str, Probe]:
    """Path → probe of an unfinished build; empty where there is none.

    A last line that was cut off, or one of another version, is probed again.
    """
    try:
        lines = journal_path(manifest).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    probes = {}
    for line in lines:
        try:
            record = json.loads(line)
            path, info = record.pop("path"), record.pop("info")
            probes[path] = Probe(info=None if info is None else VideoInfo(**info), **record)
        except (ValueError, KeyError, TypeError):
            continue
    return probes
