"""What the rounds have come to."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from fouls.commands import console

FAULTS = (
    "rows lost",
    "rows wrong",
    "files that differ",
    "findings of verify",
    "finished blocks done again",
    "more blocks in flight than can be",
    "partial files left",
    "processes left",
    "runs that hung",
    "runs that ended as none should",
)
COUNTS = (
    "runs",
    "runs ended with a line",
    "stores filled",
    "rows compared",
    "rows failed by the death of their decoding process, then retried",
    "partial files that the next run removed",
)


@dataclass(kw_only=True)
class Tally:
    """Counts over all rounds."""

    start_seconds: float
    """What an undisturbed run takes until its first block is committed."""
    sees_reads: bool
    """Whether the file system tells which videos were read."""
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(place, victim) → rounds."""
    in_flight: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """(place, victim) → blocks in hand at each kill that ended the run: the work that is repeated."""
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    """What is wrong, in words."""

    def fault(self, name: str, message: str, count: int = 1) -> None:
        """Note something that must not be."""
        if count:
            self.counts[name] += count
            self.messages.append(f"{name}: {message}")

    def faults(self) -> int:
        """How much is wrong."""
        return sum(self.counts[name] for name in FAULTS)

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        kills = [
            {"place": place, "victim": victim, "rounds": rounds, "blocks in flight": self.in_flight[place, victim]}
            for (place, victim), rounds in self.kills.items()
        ]
        counts = {name: self.counts[name] for name in (*COUNTS, *FAULTS)}
        return {"kills": kills, **counts, "messages": self.messages}

    def show(self) -> None:
        """Print tables."""
        rows = []
        for (place, victim), rounds in sorted(self.kills.items()):
            repeated = self.in_flight[place, victim]
            shown = [sum(repeated), max(repeated)] if repeated and self.sees_reads else ["–", "–"]
            rows.append([place, victim, rounds, *shown])
        rows.append(["all", "", self.kills.total(), sum(map(sum, self.in_flight.values())), ""])
        console.table("killed", ["where", "what", "rounds", "blocks repeated", "most at once"], rows)
        counted = [[name, self.counts[name]] for name in (*COUNTS, *FAULTS)]
        console.table(None, ["what came of it", ""], counted)
        for message in self.messages:
            console.warn(message)
