"""``ms_tcn``: stages of dilated residual convolutions, each of which refines the classes that the last one saw.

Source: Abu Farha and Gall 2019 (arXiv 1903.01945). The first stage reads the features, each later one the softmax of
the stage before. The loss is taken at every stage. What is ours: several tasks at once, tasks with one label a sample,
and keypoints; and that the mask is multiplied in after the first 1 × 1 convolution too, so that no padding is seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, PoolingHeadConfig, check_range, check_steps
from fouls.heads.inputs import Inputs
from fouls.heads.keypoints import KeypointOutput, check_keypoints
from fouls.heads.outputs import TaskOutputs
from fouls.heads.pooling import ViewPool, pool_time, pooled_width
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class MsTcnConfig(PoolingHeadConfig):
    """Options of ``ms_tcn``; the defaults are those of the paper."""

    default_pools: ClassVar[tuple[str, ...]] = ("temporal",)

    num_stages: int = 4
    """The first, and those that refine."""
    num_layers: int = 10
    """Residual layers a stage; layer i (0-based) has dilation 2^i."""
    num_maps: int = 64
    """Feature maps of every layer."""
    dropout: float = 0.5
    """In every layer, and before the outputs of tasks with one label a sample."""
    keypoints: bool = False
    """Regress the manifest's keypoints at every step, from the maps of the first stage."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("stages", self.num_stages, 1, 16)
        check_range("layers", self.num_layers, 1, 16)
        check_range("maps", self.num_maps, 1, 65536)
        check_range("dropout", self.dropout, 0, 1, open_end=True)

    def resolved(self, form: InputForm, tasks: Sequence[Task]) -> Self:
        """The config for inputs of a form: samples take the mean over time, unless said otherwise.

        Raises:
            ConfigError: there is one step only, or keypoints are to be regressed that the manifest does not have.
        """
        if self.keypoints:
            check_keypoints(form)
        check_steps("ms_tcn", form)
        return dataclasses.replace(self, time_pooling=self.time_pooling or "mean")

    def build(self, form: InputForm, tasks: Sequence[Task]) -> Head:
        return MsTcn(self, form, tasks)


class MsTcn(Head):
    """inputs → stage → softmax of all tasks → stage → … ; every stage has an output a task at every step.

    A task with a label a frame answers with the last stage's output; those of the stages before are in
    ``extras.stages``. For a task with one label a sample the maps of the last stage are pooled over time, then over
    views; its outputs at the steps of all stages are assisting ones, each step with the label of the sample. Of a task
    with any number of labels the stages read sigmoids.
    """

    def __init__(self, config: MsTcnConfig, form: InputForm, tasks: Sequence[Task]) -> None:
        super().__init__()
        assert config.time_pooling is not None
        self.time_pooling = config.time_pooling
        self.frame_tasks = [task.name for task in tasks if task.per_frame]
        self.sample_tasks = [task.name for task in tasks if not task.per_frame]
        self.multi_label = {task.name for task in tasks if task.multi_label}
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        num_classes = sum(len(task.classes) for task in tasks)
        widths = [self.inputs.width, *[num_classes] * (config.num_stages - 1)]
        self.stages = nn.ModuleList(Stage(width, config) for width in widths)
        self.step_outputs = nn.ModuleList(TaskOutputs(config, config.num_maps, tasks) for _ in widths)
        if self.sample_tasks:
            pooled = pooled_width(config.num_maps, config.time_pooling)
            self.view_pool = ViewPool(pooled, config.view_pooling)
            self.dropout = Dropout(config.dropout)
            self.outputs = TaskOutputs(config, pooled, [task for task in tasks if not task.per_frame])
        self.keypoints = KeypointOutput(config.num_maps, form.num_keypoints) if config.keypoints else None

    def classify(self, batch: Batch) -> HeadOutput:
        steps = batch.steps  # (N, T)
        maps, by_stage = self._run_stages(self.inputs(batch), steps)
        logits = {name: batch.unpack(by_stage[-1][name]) for name in self.frame_tasks}  # (B, V, T, classes)
        extras = Extras(
            stages={name: [batch.unpack(stage[name]) for stage in by_stage[:-1]] for name in self.frame_tasks},
            keypoints=None if self.keypoints is None else batch.unpack(self.keypoints(maps[0])),
        )
        if self.sample_tasks:
            tracks = pool_time(maps[-1], steps, self.time_pooling)  # (N, M')
            logits |= self.outputs(self.dropout(self.view_pool(batch.unpack(tracks), batch.present)))  # (B, classes)
            of_steps = {name: torch.cat([stage[name] for stage in by_stage], dim=1) for name in self.sample_tasks}
            extras = dataclasses.replace(
                extras,
                assisting={name: batch.unpack(each).flatten(1, 2) for name, each in of_steps.items()},
                assisting_mask=batch.mask.repeat(1, 1, len(by_stage)).flatten(1),  # (B, V × stages × T)
            )
        return HeadOutput(logits, extras)

    def _run_stages(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """From x (N, T, D) and mask (N, T) to each stage's maps (N, T, M) and outputs (N, T, classes)."""
        maps: list[Tensor] = []
        by_stage: list[dict[str, Tensor]] = []
        for stage, outputs in zip(self.stages, self.step_outputs, strict=True):
            maps.append(stage(x, mask))
            by_stage.append(outputs(maps[-1]))
            x = torch.cat([self._probabilities(*each) for each in by_stage[-1].items()], dim=-1) * mask[..., None]
        return maps, by_stage

    def _probabilities(self, task: str, logits: Tensor) -> Tensor:
        """What the next stage reads of a task's logits (N, T, classes)."""
        return logits.sigmoid() if task in self.multi_label else logits.softmax(dim=-1)


class Stage(nn.Module):
    """1 × 1 convolution to the maps, then residual layers with dilations 1, 2, 4, …"""

    def __init__(self, dim: int, config: MsTcnConfig) -> None:
        super().__init__()
        self.enter = nn.Conv1d(dim, config.num_maps, 1)
        self.layers = nn.ModuleList(
            DilatedResidualLayer(config.num_maps, dilation=2**index, dropout=config.dropout)
            for index in range(config.num_layers)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, T, D) and mask (N, T) to (N, T, M), 0 where the mask is false."""
        keep = mask[:, None, :].to(x.dtype)  # (N, 1, T)
        x = self.enter(x.transpose(1, 2)) * keep
        for layer in self.layers:
            x = layer(x, keep)
        return x.transpose(1, 2)


class DilatedResidualLayer(nn.Module):
    """Dilated convolution (kernel 3) → ReLU → 1 × 1 convolution → dropout, + the input, × mask."""

    def __init__(self, num_maps: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(num_maps, num_maps, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(num_maps, num_maps, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """From x (N, M, T) and keep (N, 1, T), 1 or 0, to (N, M, T)."""
        masked: Tensor = (x + self.dropout(self.mix(F.relu(self.dilated(x))))) * keep
        return masked
