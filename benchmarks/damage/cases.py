"""What a file of the corpus is, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass

DONE = frozenset({"done"})
UNREADABLE = frozenset({"unreadable"})
NO_PICTURES = frozenset({"unreadable", "no_video_stream"})
ANY = frozenset[str]()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file that an extraction will meet."""

    path: str
    kind: str
    """What was done to it."""
    group: str
    """``odd``, ``stranger``, ``bomb``, ``name``, ``wound``, ``graft``, ``lie`` or ``tampered``."""
    expected: frozenset[str] = ANY
    """``done``, or classes of error: what may come of it. Empty: nobody can tell beforehand."""
