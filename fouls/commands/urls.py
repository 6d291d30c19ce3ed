"""The options of every command that may download videos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fouls.errors import ConfigError
from fouls.objects.location import Location
from fouls.objects.paths import ObjectPath

if TYPE_CHECKING:
    from fouls.video.downloads import Downloads

_PANEL = "Videos at URLs"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

AllowUrls = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Videos at this URL and below may be downloaded: s3://, gs://, https://. May be repeated.",
        show_default="none",
        rich_help_panel=_PANEL,
    ),
]
VideoCache = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where downloaded videos are kept; may be shared by several runs.",
        show_default="~/.cache/fouls/videos",
        rich_help_panel=_PANEL,
        file_okay=False,
    ),
]
VideoCacheBytes = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="What they may take together, such as 500MB; those used longest ago go first.",
        rich_help_panel=_PANEL,
    ),
]


def make_downloads(allow_urls: list[str] | None, folder: Path | None, size: str) -> Downloads:
    """What the three options say.

    Raises:
        ConfigError: a size that is none, or something that is no URL.
    """
    from fouls.video.downloads import Downloads, default_folder

    return Downloads(allowed=tuple(allow_urls or ()), folder=folder or default_folder(), max_bytes=_parse_size(size))


def check_asked_for(place: Location, downloads: Downloads) -> None:
    """Refuse a URL that stands in a file: the file may be anybody's.

    Raises:
        ConfigError: it is one, and nobody has allowed it.
    """
    if isinstance(place, ObjectPath) and not downloads.allows(str(place)):
        raise ConfigError(
            f"the manifest of then is {place}, and URLs are only asked for where they are allowed: "
            f"add --allow-urls {place}"
        )


def _parse_size(size: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", size.strip().upper())
    unit = "" if found is None else found[2].removesuffix("B")
    if found is None:
        raise ConfigError(f"--video-cache-bytes is {size!r}; it must be a size, such as 500MB or 20GB")
    return int(float(found[1]) * _UNITS[f"{unit}B" if unit else ""])
