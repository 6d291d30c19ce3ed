"""Classes merged into one: ``1,3,5``, ``paw_withdraw,flinch`` or ``withdrawal=paw_withdraw,flinch``."""

from __future__ import annotations

from collections.abc import Sequence

from fouls.errors import ConfigError


def merge_classes(names: Sequence[str], merges: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """New class names, and the new index of each old one.

    A merged class stands where the first of its members stood; without a name of its own it is called after all of
    them, joined by ``+``.

    Args:
        names: the classes, in the order of their indices.
        merges: ``[NAME=]CLASS,CLASS,…`` each, the classes by index or name.

    Raises:
        ConfigError: a class that is not there, is merged alone or twice, or a new name that is taken.
    """
    merged = list(names)
    leader = list(range(len(names)))  # the first member of each class's group
    for text in merges:
        name, _, classes = text.rpartition("=")
        members = sorted(_index(entry.strip(), names, text) for entry in classes.split(","))
        if len(set(members)) < max(2, len(members)):
            raise ConfigError(f"--merge {text}: name two classes or more, each once")
        for member in members:
            if leader.count(leader[member]) > 1:
                raise ConfigError(f"--merge {text}: class {names[member]!r} is merged already")
        for member in members:
            leader[member] = members[0]
        merged[members[0]] = name or "+".join(names[member] for member in members)
    kept = sorted(set(leader))
    new_names = tuple(merged[index] for index in kept)
    if len(set(new_names)) < len(new_names):
        raise ConfigError(f"--merge {', '.join(merges)}: two classes are called the same: {', '.join(new_names)}")
    return new_names, tuple(kept.index(index) for index in leader)


def _index(entry: str, names: Sequence[str], text: str) -> int:
    if entry in names:
        return names.index(entry)
    if entry.isdecimal() and int(entry) < len(names):
        return int(entry)
    raise ConfigError(f"--merge {text}: no class {entry!r}; there are 0 to {len(names) - 1}: {', '.join(names)}")
