"""The last layer that a loss asks for."""

from __future__ import annotations

from torch import nn

from fouls.heads.losses.arcface import CosineOutput
from fouls.heads.losses.config import LossConfig


def output_layer(config: LossConfig, dim: int, num_classes: int) -> nn.Module:
    """A linear layer, or the cosines that ``arcface`` and ``arcface_published`` are about.

    Args:
        config: the task's own, see :meth:`LossConfig.of_task`.
        dim: width of the features.
        num_classes: width of the output.
    """
    match config.kind:
        case "arcface":
            return CosineOutput(dim, num_classes, scale=config.arcface_scale)
        case "arcface_published":
            return CosineOutput(dim, num_classes, scale=config.arcface_scale, margin=config.arcface_margin)
        case _:
            return nn.Linear(dim, num_classes)
