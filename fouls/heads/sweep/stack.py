"""K heads of one shape as one: every parameter has an axis in front, and one call answers for all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fouls.heads.batch import Batch, Extras, HeadOutput
from fouls.heads.head import Head
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
