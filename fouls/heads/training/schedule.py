"""The learning rate in the course of training."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def learning_rate_factor(
    step: int, *, warmup_steps: float, total_steps: int, kind: Schedule, floor: float = 0.0
) -> float:
    """Factor on the learning rate: from 0 to 1 in the warm-up, then along a curve down to a floor.

    With r the share of the steps after the warm-up that is done:

    - ``cosine``: floor + (1 − floor) · (1 + cos πr) / 2 (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5)
    - ``linear``: 1 − (1 − floor) · r
    - ``constant``: 1

    Args:
        step: from 0.
        warmup_steps: steps in which the factor grows, (step + 1) / (warmup_steps + 1); may be a fraction.
        total_steps: of the training.
        kind: the curve.
        floor: the factor at the end.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps) / max(1.0, total_steps - warmup_steps))
    match kind:
        case "cosine":
            return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return 1 - (1 - floor) * done
        case "constant":
            return 1.0
