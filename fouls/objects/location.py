"""A path or a URL, as a user writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fouls.errors import ConfigError
from fouls.objects.client import SCHEMES
from fouls.objects.paths import ObjectPath

if TYPE_CHECKING:
    Location = Path | ObjectPath
    """Where a store or a manifest lies."""
else:

    class Location:
        """Stands for the union where the command line looks at types: typer knows no unions."""


_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<rest>.*)", re.DOTALL)


def location(text: str | Location) -> Location:
    """A path on this machine, or one on object storage where the text is a URL.

    Raises:
        ConfigError: a URL of a kind that is not read, or without a bucket.
    """
    if not isinstance(text, str):
        return text
    url = _URL.fullmatch(text)
    if url is None:
        return Path(text)
    scheme, host, key = url["scheme"].lower(), url["host"], url["rest"].strip("/")
    if scheme not in SCHEMES:
        allowed = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigError(f"{text}: {scheme}:// is not read; allowed: {allowed}, or a path on this machine")
    path = key.partition("?")[0]
    parts = (unquote(path) if scheme == "https" else path).split("/") if key else []
    if not host or "@" in host or not {"", ".", ".."}.isdisjoint(parts):
        where = "HOST" if scheme == "https" else "BUCKET"
        raise ConfigError(f"{text}: no such place; a URL must be {scheme}://{where}/PATH, with no empty or dotted part")
    return ObjectPath(f"{scheme}://{host}", key)


def below(folder: Location, path: Location) -> str:
    """The way from a folder to what lies below it, with slashes between its parts."""
    return path.as_posix().removeprefix(f"{folder.as_posix()}/")
