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

KINDS = {
    "attributes": "the group's zarr.json, or its copy in rows/zarr.json, is not what was written",
    "member": "the zarr.json of a group or array is not what was written",
    "length": "an array does not have the rows of the index",
    "index": "a file of the row index is damaged, lost, or has lost its copy",
    "rows": "the row index contradicts itself",
    "record": "a ledger record is damaged, or contradicts the index",
    "chunk": "a block's values are not those that its record tells",
    "unfinished": "the traces of a run that was stopped",
    "file": "a file or folder that does not belong to a store",
}
"""Kind of finding → what it means."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """One of :data:`KINDS`."""
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
