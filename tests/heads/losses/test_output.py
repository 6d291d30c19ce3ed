"""ArcFace goes with cosines only."""

from __future__ import annotations

from typing import Any

import pytest

from fouls.errors import ConfigError
from fouls.heads.linear import LinearConfig
from fouls.heads.losses import LossConfig, LossOverrides
from fouls.heads.losses.output import check_output

FITTING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"output": "arcface"}, {"kind": "arcface"}),
    ({"output": "arcface", "output_scale": 16.0, "output_margin": 0.1}, {"kind": "arcface", "arcface_scale": 16.0}),
    ({"output": "arcface_published"}, {"kind": "arcface_published"}),
    ({"output": "arcface"}, {"kind": "cross_entropy"}),  # a softmax on cosines is a loss too
]


@pytest.mark.parametrize(("head", "loss"), FITTING)
def test_what_goes_together(head: dict[str, Any], loss: dict[str, Any]) -> None:
    check_output(LinearConfig(**head), LossConfig(**loss), ["action"])


@pytest.mark.parametrize(
    ("head", "loss", "message"),
    [
        ({}, {"kind": "arcface"}, "loss 'arcface' of task 'action' is about angles, and the head's output is 'linear'"),
        ({"output": "arcface"}, {"kind": "arcface_published"}, "give the head output 'arcface_published'"),
        (
            {"output": "arcface", "output_scale": 16.0},
            {"kind": "arcface"},
            "arcface scale is 30, and the head's output scale is 16: they must be equal",
        ),
        (
            {"output": "arcface_published", "output_margin": 0.3},
            {"kind": "arcface_published"},
            "arcface margin is 0.5, and the head's output margin is 0.3: they must be equal",
        ),
    ],
)
def test_what_does_not(head: dict[str, Any], loss: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_output(LinearConfig(**head), LossConfig(**loss), ["action"])


def test_one_task_alone_can_be_wrong() -> None:
    loss = LossConfig(by_task={"severity": LossOverrides(kind="arcface")})
    check_output(LinearConfig(), loss, ["action"])
    with pytest.raises(ConfigError, match="of task 'severity'"):
        check_output(LinearConfig(), loss, ["action", "severity"])
