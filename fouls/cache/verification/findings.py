"""What a verification finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Remedy = Literal["repair", "extract", "restore", "look"]

REMEDIES: dict[Remedy, str] = {
    "repair": "`fouls verify STORE --repair` mends it",
    "extract": "nothing is lost; the next `fouls extract` clears it up",
    "restore": "restore the file from a backup, or extract into another --out",
    "look": "nothing is lost; fouls leaves it alone",
}
"""Remedy → what to do."""

Kind = Literal["attributes", "member", "length", "index", "rows", "record", "chunk", "unfinished", "file"]
"""What it is about; ``docs/store.md`` says what each means."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    where: str
    """A path below the store, or a pattern of paths."""
    message: str
    remedy: Remedy
    damage: bool = True
    """Whether something is damaged or lost; false for what a stopped run or another program has left lying about."""
    block: int | None = None
    """The block that it is about, where it is about one."""


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What a verification found."""

    blocks: int
    """Blocks whose values were read and compared."""
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged or lost."""
        return not any(finding.damage for finding in self.findings)

    @property
    def damaged(self) -> tuple[int, ...]:
        """The blocks of which something is damaged, ascending."""
        blocks = {finding.block for finding in self.findings if finding.damage and finding.block is not None}
        return tuple(sorted(blocks))

    @property
    def repairable(self) -> tuple[Finding, ...]:
        """What ``--repair`` mends."""
        return tuple(finding for finding in self.findings if finding.remedy == "repair")

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "whole": self.whole,
            "blocks": self.blocks,
            "damaged": list(self.damaged),
            "findings": [asdict(finding) for finding in self.findings],
        }
