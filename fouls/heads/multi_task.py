"""The frame that ``linear``, ``mlp`` and ``tcn`` share: inputs → trunk → pool time → pool views → an output a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from fouls.heads.batch import Batch, Extras, HeadOutput, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.head import Head, PoolingHeadConfig, module_key
from fouls.heads.inputs import Inputs
from fouls.heads.keypoints import KeypointOutput
from fouls.heads.outputs import output_layer
from fouls.heads.pooling import TimePooling, ViewPool, pool_time, pooled_width
from fouls.heads.tasks import Task


class MultiTaskHead(Head):
    """inputs → trunk → pool time → pool views → one output layer a task.

    A task with a label a frame reads the trunk's output at every step instead. With ``time_first``, where nothing else
    reads single steps, time is pooled before everything else.
    """

    def __init__(
        self,
        config: PoolingHeadConfig,
        form: InputForm,
        tasks: Sequence[Task],
        *,
        trunk: Callable[[int], tuple[nn.Module, int]],
        time_first: bool,
        dropout: float,
        keypoints: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            config: resolved.
            form: of the inputs.
            tasks: one output each.
            trunk: from the width of its input to a module (N, T, D'), (N, T) → (N, T, H), and H.
            time_first: time can be pooled before the trunk.
            dropout: before the outputs.
            keypoints: the form's keypoints are regressed at every step.
        """
        super().__init__()
        assert config.time_pooling is not None
        self.time_pooling: TimePooling = config.time_pooling
        self.per_frame = {task.name for task in tasks if task.per_frame}
        self.time_first = time_first and not (self.per_frame or keypoints or config.project or form.pose_width)
        if self.time_first:
            form = InputForm(widths=(pooled_width(form.dim, self.time_pooling),))
        self.inputs = Inputs(form, standardise=config.standardise, project=config.project)
        self.trunk, width = trunk(self.inputs.width)
        pooled = width if self.time_first else pooled_width(width, self.time_pooling)
        self.view_pool = ViewPool(pooled, config.view_pooling) if len(self.per_frame) < len(tasks) else None
        self.dropout = Dropout(dropout)
        self.outputs = nn.ModuleDict(
            {
                module_key(task.name): output_layer(config, width if task.per_frame else pooled, len(task.classes))
                for task in tasks
            }
        )
        self.keypoints = KeypointOutput(width, form.num_keypoints) if keypoints else None
        self.task_names = tuple(task.name for task in tasks)

    @property
    def reduces(self) -> bool:
        return self.time_first

    def reduce(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not self.time_first:
            return x, mask
        return pool_time(x, mask, self.time_pooling)[..., None, :], mask.any(dim=-1, keepdim=True)

    def classify(self, batch: Batch) -> HeadOutput:
        steps = batch.steps  # (N, T): the trunk sees tracks that are there, no padding between them
        hidden = self.trunk(self.inputs(batch), steps)  # (N, T, H)
        logits: dict[str, Tensor] = {}
        if self.view_pool is not None:
            pooled = hidden[:, 0] if self.time_first else pool_time(hidden, steps, self.time_pooling)  # (N, H')
            by_mean = self.view_pool.kind == "mean"
            sample = batch.mean(pooled) if by_mean else self.view_pool(batch.unpack(pooled), batch.present)  # (B, H')
            sample = self.dropout(sample)
        for name in self.task_names:
            output = self.outputs[module_key(name)]
            if name in self.per_frame:
                logits[name] = batch.unpack(output(self.dropout(hidden)))  # (B, V, T, classes)
            else:
                logits[name] = output(sample)  # (B, classes)
        keypoints = None if self.keypoints is None else batch.unpack(self.keypoints(hidden))
        return HeadOutput(logits, Extras(keypoints=keypoints))
