"""``fouls migrate``: a store of an older format into the current one. There is one format so far."""

from __future__ import annotations

import json

import typer

from fouls.commands import console
from fouls.commands.store import AsJson, StorePath


def migrate(path: StorePath, json_output: AsJson = False) -> None:
    """Bring a store to the current version of the format; one of a newer version is refused.

    fouls migrate cache/videomae
    """
    from fouls.cache.attributes import FORMAT_VERSION
    from fouls.cache.store import open_store

    store = open_store(path)  # of version 1, the only one that there is; a newer one was refused
    if json_output:
        typer.echo(json.dumps({"store": str(store.path), "format_version": FORMAT_VERSION, "changed": False}))
    else:
        console.say(f"{store.path} is version {FORMAT_VERSION}, the current one: nothing to do")
