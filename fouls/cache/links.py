"""Nothing is ever written through a link inside a store: a store from a stranger could lead anywhere with one."""

from __future__ import annotations

from pathlib import Path

from fouls.errors import StoreError
from fouls.objects.location import Location


def refuse_links(store: Location, *folders: Location) -> None:
    """Refuse to write into folders of a store that are links, or that lie below one.

    The store's own folder may be a link: whoever names it means where it leads.

    Args:
        store: the store's folder.
        folders: below it; they need not exist.

    Raises:
        StoreError: one of them leads out.
    """
    for folder in folders:
        if not isinstance(folder, Path):
            continue  # there are no links on object storage
        for part in (folder, *folder.parents):
            if part == store:
                break
            if part.is_symlink():
                raise StoreError(
                    f"{part} is a link, and fouls writes through no link inside a store: "
                    f"put what it leads to ({part.readlink()}) in its place"
                )
