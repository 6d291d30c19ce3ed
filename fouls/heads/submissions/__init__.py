"""Prediction files in the formats of challenges, one a file. A new one: write its file, add its line."""

from __future__ import annotations

from collections.abc import Sequence

from fouls.heads.submissions import ma52, mvfoul
from fouls.heads.submissions.challenge import Challenge
from fouls.heads.tasks import Task

CHALLENGES: dict[str, Challenge] = {"mvfoul": mvfoul.CHALLENGE, "ma52": ma52.CHALLENGE}
"""Name → challenge."""


def challenges_of(tasks: Sequence[Task]) -> dict[str, Challenge]:
    """The challenges whose tasks these are."""
    return {name: challenge for name, challenge in CHALLENGES.items() if challenge.recognises(tasks)}
