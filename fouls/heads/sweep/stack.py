"""K heads of one shape as one: every parameter has an axis in front, and one call answers for all of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.batch import Batch, Extras, HeadOutput
from fouls.heads.head import Head, module_key
from fouls.heads.multi_task import MultiTaskHead
from fouls.heads.samples import Samples
from fouls.heads.sweep.products import share_inputs
from fouls.heads.tally import EVALUATION_BATCH

StackedOutput = dict[str, Any]
"""What :class:`~fouls.heads.batch.HeadOutput` holds, (K, …) each, as plain dictionaries."""


class Stack:
    """K heads that differ in their parameters only. What is drawn at random in a step, all draw alike."""

    def __init__(self, head: Head) -> None:
        """Make a stack.

        Args:
            head: what a single one is, with its inputs fitted. Its mode, training or evaluation, is that of the stack.
        """
        self.head = share_inputs(copy.deepcopy(head))
        self._names = [name for name, _ in head.named_parameters()]
        self._caller = _Caller(self.head)
        self._buffers = dict(self._caller.named_buffers())

    def copies(self, count: int) -> list[Tensor]:
        """The parameters of ``count`` heads, (K, …) each: those of the head, over and over."""
        return [parameter.detach().expand(count, *parameter.shape) for parameter in self.head.parameters()]

    def named(self, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        """Parameters (…) of one head, or (K, …) of all, by the names that the head has for them."""
        return dict(zip(self._names, parameters, strict=True))

    def __call__(self, parameters: Sequence[Tensor], batch: Batch) -> StackedOutput:
        """What each head says of a batch.

        Args:
            parameters: (K, …) each, in the order of the head's.
            batch: one for all.
        """

        def one(*of_one: Tensor) -> StackedOutput:
            values = {f"head.{name}": value for name, value in self.named(of_one).items()} | self._buffers
            found: StackedOutput = torch.func.functional_call(self._caller, values, (batch,))
            return found

        outputs: StackedOutput = torch.func.vmap(one, randomness="same")(*parameters)
        return outputs


class WideStack:
    """K heads whose output layers alone have parameters: one head with K times as many outputs. As :class:`Stack`.

    The layers of all tasks are one too, so there are two parameters: weights (K, classes of all tasks, D) and biases.
    """

    def __init__(self, head: Head) -> None:
        """Make a stack of a head that :meth:`fits`."""
        assert isinstance(head, MultiTaskHead)
        outputs = [output for output in head.outputs.values() if isinstance(output, nn.Linear)]
        self._first = [
            torch.cat([output.weight.detach() for output in outputs]),
            torch.cat([output.bias.detach() for output in outputs]),
        ]
        self._classes = [output.out_features for output in outputs]
        self._tasks = head.task_names
        self.head = as_pooling(head)

    @staticmethod
    def fits(head: Head) -> bool:
        """Whether a head can be stacked so."""
        if not isinstance(head, MultiTaskHead) or head.per_frame:
            return False
        plain = all(type(output) is nn.Linear for output in head.outputs.values())
        return plain and len(list(head.parameters())) == len(list(head.outputs.parameters()))

    def copies(self, count: int) -> list[Tensor]:
        """See :meth:`Stack.copies`."""
        return [parameter.expand(count, *parameter.shape) for parameter in self._first]

    def named(self, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :meth:`Stack.named`."""
        weights = torch.split(parameters[0], self._classes, dim=-2)
        biases = torch.split(parameters[1], self._classes, dim=-1)
        found: dict[str, Tensor] = {}
        for task, weight, bias in zip(self._tasks, weights, biases, strict=True):
            found |= {f"outputs.{module_key(task)}.weight": weight, f"outputs.{module_key(task)}.bias": bias}
        return found

    def __call__(self, parameters: Sequence[Tensor], batch: Batch) -> StackedOutput:
        """See :meth:`Stack.__call__`."""
        weight, bias = parameters
        x = self.head.classify(batch).logits[self._tasks[0]]  # (B, D)
        wide = F.linear(x, weight.flatten(0, 1), bias.flatten())  # (B, K × classes of all tasks)
        of_tasks = torch.split(wide.view(len(x), len(weight), -1).transpose(0, 1), self._classes, dim=2)
        return {"logits": dict(zip(self._tasks, of_tasks, strict=True)), "stages": {}, "assisting": {}}


def as_pooling(head: MultiTaskHead) -> MultiTaskHead:
    """A copy of a head that gives what its outputs see, after the dropout, in the place of their logits."""
    pooling = copy.deepcopy(head)
    pooling.outputs = nn.ModuleDict({module_key(name): nn.Identity() for name in head.task_names})
    return pooling


@torch.no_grad()
def pooled(head: Head, samples: Samples) -> Samples:
    """Samples of one track with one step: what the outputs of a head see, where nothing before them has parameters.

    Args:
        head: one that fits a :class:`WideStack`, with its inputs fitted.
        samples: standardised ones of one pass.
    """
    assert isinstance(head, MultiTaskHead)
    pooling = as_pooling(head).eval()
    batches = [pooling.classify(batch).logits[head.task_names[0]] for _, batch in samples.batches(EVALUATION_BATCH)]
    values = torch.cat(batches)[:, None]  # (S, 1, D)
    places = torch.arange(len(values), device=values.device)
    return dataclasses.replace(
        samples,
        values=values,
        clips=places[None, :, None],
        tracks=places[:, None],
        view_kinds=samples.view_kinds[samples.tracks[:, 0]],
        video_ids=samples.video_ids[samples.tracks[:, 0].cpu().numpy()],
        frames=None,
        frame_labels={},
        keypoints=None,
    )


def make_stack(head: Head) -> Stack | WideStack:
    """The faster of the stacks that a head fits into."""
    return WideStack(head) if WideStack.fits(head) else Stack(head)


class _Caller(nn.Module):
    """A head whose call is its ``classify``, and whose answer vmap can stack."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch) -> StackedOutput:
        logits, extras = self.head.classify(batch)
        plain = {"logits": logits, "stages": extras.stages, "assisting": extras.assisting}
        optional = {"assisting_mask": extras.assisting_mask, "keypoints": extras.keypoints}
        return plain | {name: value for name, value in optional.items() if value is not None}


def as_output(of_one: StackedOutput) -> HeadOutput:
    """The answer of one head, as heads give it."""
    extras = {name: value for name, value in of_one.items() if name != "logits"}
    return HeadOutput(of_one["logits"], Extras(**extras))
