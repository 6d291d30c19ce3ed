"""Whether the logits of a head are those that a loss is about."""

from __future__ import annotations

from collections.abc import Iterable

from fouls.errors import ConfigError
from fouls.heads.head import HeadConfig
from fouls.heads.losses.config import LossConfig


def check_output(head: HeadConfig, loss: LossConfig, tasks: Iterable[str]) -> None:
    """Refuse the ArcFace losses on anything but cosines of their scale: on other logits their angles mean nothing.

    Args:
        head: the head, which says what its outputs are.
        loss: that of all tasks.
        tasks: the names of all that are trained.

    Raises:
        ConfigError: names the loss, the head's output, and what both must be.
    """
    for task in tasks:
        own = loss.of_task(task)
        if own.kind not in ("arcface", "arcface_published"):
            continue
        if head.output != own.kind:
            raise ConfigError(
                f"loss {own.kind!r} of task {task!r} is about angles, and the head's output is {head.output!r}: give "
                f"the head output {own.kind!r}"
            )
        if head.output_scale != own.arcface_scale:
            raise ConfigError(
                f"arcface scale is {own.arcface_scale:g}, and the head's output scale is {head.output_scale:g}: they "
                "must be equal"
            )
        if own.kind == "arcface_published" and head.output_margin != own.arcface_margin:
            raise ConfigError(
                f"arcface margin is {own.arcface_margin:g}, and the head's output margin is {head.output_margin:g}: "
                "they must be equal"
            )
