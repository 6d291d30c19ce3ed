"""What a trial shows, as a table and as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .trial import WITHIN, Outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """How many files of each group became what."""
    columns = [code for code, _ in Counter(outcome.found for outcome in outcomes).most_common()]
    groups = list(dict.fromkeys(outcome.case.group for outcome in outcomes))
    counts = Counter((outcome.case.group, outcome.found) for outcome in outcomes)
    lines = [["group", "files", *columns]]
    for group in groups:
        row = [counts[group, column] for column in columns]
        lines.append([group, str(sum(row)), *(str(count or "–") for count in row)])
    totals = [sum(counts[group, column] for group in groups) for column in columns]
    lines.append(["all", str(len(outcomes)), *map(str, totals)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in lines
    )


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same in numbers, with how right the rows are that are done."""
    judged = [outcome.judgement for outcome in outcomes if outcome.judgement is not None]
    from_reference = [each.from_reference for each in judged if each.from_reference is not None]
    between = [each.between for each in judged if each.between is not None]
    cosines = [outcome.cosine for outcome in outcomes if outcome.cosine is not None]
    return {
        "files": len(outcomes),
        "found": dict(Counter(outcome.found for outcome in outcomes).most_common()),
        "rows compared with a decoding from the first packet on": len(from_reference),
        "of these other frames": sum(value > 0 for value in from_reference),
        "features compared with those of the right frames": len(cosines),
        "lowest cosine": round(min(cosines, default=1.0), 6),
        "rows that both decoders read": len(between),
        f"of these more than {WITHIN:g} grey levels apart": sum(value > WITHIN for value in between),
        "greatest difference between the decoders": round(max(between, default=0.0), 2),
    }


def faults(outcomes: Sequence[Outcome]) -> list[str]:
    """What is wrong, a line each."""
    return [
        f"{outcome.case.group}: {outcome.case.kind} ({outcome.case.path!r}): {fault}"
        for outcome in outcomes
        for fault in outcome.faults
    ]
