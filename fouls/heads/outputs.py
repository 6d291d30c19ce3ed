"""The last layer of every head: from a feature to the logits of each task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fouls.heads.head import HeadConfig, module_key
from fouls.heads.losses.arcface import CosineOutput
from fouls.heads.tasks import Task


def output_layer(config: HeadConfig, width: int, num_classes: int) -> nn.Module:
    """A layer from (…, width) to logits (…, classes).

    ``linear``; or s · cos of the angle to each class's direction, as ``arcface`` and ``arcface_published`` have it, see
    :class:`fouls.heads.losses.arcface.CosineOutput`.
    """
    match config.output:
        case "linear":
            return nn.Linear(width, num_classes)
        case "arcface":
            return CosineOutput(width, num_classes, scale=config.output_scale)
        case "arcface_published":
            return CosineOutput(width, num_classes, scale=config.output_scale, margin=config.output_margin)


class TaskOutputs(nn.ModuleDict):
    """An output layer a task, all on the same feature."""

    def __init__(self, config: HeadConfig, width: int, tasks: Sequence[Task]) -> None:
        super().__init__({module_key(task.name): output_layer(config, width, len(task.classes)) for task in tasks})
        self.task_names = tuple(task.name for task in tasks)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """From (…, width) to the logits of each task, (…, classes)."""
        return {name: self[module_key(name)](x) for name in self.task_names}
