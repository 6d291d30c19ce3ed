"""``torch.compile`` for a net's forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fouls.errors import BackboneError
from fouls.pipeline.backbones.weights import one_line


class CompiledTokens:
    """A forward pass that is compiled at its first batch, for batches of that size; smaller ones are filled up.

    Attributes:
        first_seconds: what the first batch took, half a minute or more; ``None`` before it. torch keeps much of what
            it has compiled on the disk for the next process.
    """

    def __init__(self, tokens: Callable[[Tensor], Tensor]) -> None:
        self._compiled = torch.compile(tokens, dynamic=False)
        self._batch_size = 0
        self.first_seconds: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, T, S, S) → tokens (B, N, D).

        Raises:
            BackboneError: the net can't be compiled, or there is no compiler here.
        """
        started = time.perf_counter()
        self._batch_size = max(self._batch_size, len(x))
        missing = self._batch_size - len(x)
        filled = F.pad(x, (0, 0) * 4 + (0, missing)) if missing else x
        try:
            tokens: Tensor = self._compiled(filled)
        except torch._dynamo.exc.TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            raise BackboneError(f"the net can't be compiled here ({one_line(cause)}): leave --compile out") from error
        if self.first_seconds is None:
            self.first_seconds = time.perf_counter() - started
        return tokens[: len(x)]
