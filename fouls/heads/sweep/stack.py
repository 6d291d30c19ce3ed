"""K heads of one shape as one: every parameter has an axis in front, and one call answers for all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.batch import Batch, Extras, HeadOutput
from fouls.heads.head import Head, module_key
from fouls.heads.multi_task import MultiTaskHead
from fouls.heads.sweep.products import share_inputs

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
        self.names = [f"head.{name}" for name, _ in head.named_parameters()]
        self._caller = _Caller(self.head)
        self._buffers = dict(self._caller.named_buffers())

    def copies(self, count: int) -> list[Tensor]:
        """The parameters of ``count`` heads, (K, …) each: those of the head, over and over."""
        return [parameter.detach().expand(count, *parameter.shape) for parameter in self.head.parameters()]

    def __call__(self, parameters: Sequence[Tensor], batch: Batch) -> StackedOutput:
        """What each head says of a batch.

        Args:
            parameters: (K, …) each, in the order of the head's.
            batch: one for all.
        """

        def one(*of_one: Tensor) -> StackedOutput:
            values = dict(zip(self.names, of_one, strict=True)) | self._buffers
            found: StackedOutput = torch.func.functional_call(self._caller, values, (batch,))
            return found

        outputs: StackedOutput = torch.func.vmap(one, randomness="same")(*parameters)
        return outputs


class WideStack:
    """K heads whose output layers alone have parameters: one head with K times as many outputs. As :class:`Stack`."""

    def __init__(self, head: Head) -> None:
        """Make a stack of a head of which :meth:`fits` is true."""
        self.head = copy.deepcopy(head)
        assert isinstance(self.head, MultiTaskHead)
        self.outputs = {name: _Wide() for name in self.head.task_names}
        self.head.outputs = nn.ModuleDict({module_key(name): output for name, output in self.outputs.items()})
        self._first = [parameter.detach() for parameter in head.parameters()]

    @staticmethod
    def fits(head: Head) -> bool:
        """Whether a head can be stacked so."""
        if not isinstance(head, MultiTaskHead) or not all(
            type(output) is nn.Linear for output in head.outputs.values()
        ):
            return False
        return len(list(head.parameters())) == len(list(head.outputs.parameters()))

    def copies(self, count: int) -> list[Tensor]:
        """See :meth:`Stack.copies`."""
        return [parameter.expand(count, *parameter.shape) for parameter in self._first]

    def __call__(self, parameters: Sequence[Tensor], batch: Batch) -> StackedOutput:
        """See :meth:`Stack.__call__`."""
        count = len(parameters[0])
        for output, weight, bias in zip(self.outputs.values(), parameters[::2], parameters[1::2], strict=True):
            output.weight, output.bias = weight.flatten(0, 1), bias.flatten()
        wide = self.head.classify(batch).logits  # (…, K × classes)
        logits = {name: of_all.reshape(*of_all.shape[:-1], count, -1).movedim(-2, 0) for name, of_all in wide.items()}
        return {"logits": logits, "stages": {}, "assisting": {}}


class _Wide(nn.Module):
    """A linear layer whose weights are given anew for every call."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """From x (…, D) to (…, K × classes)."""
        return F.linear(x, self.weight, self.bias)


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
