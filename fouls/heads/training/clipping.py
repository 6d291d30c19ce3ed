"""Cutting a gradient's norm in the optimiser's own pass over the values."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_EPSILON = 1e-6


def clip_in_step(optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Let the next step see a gradient whose norm is cut, as ``torch.nn.utils.clip_grad_norm_`` cuts it.

    A fused optimiser divides gradients by its ``grad_scale`` while it reads them, which is how mixed precision takes
    the scale out of them; so nothing is read and written just to be cut.

    Args:
        optimiser: a fused one.
        parameters: after the backward pass; those without a gradient don't count.
        max_norm: of the gradients of all of them together.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: Tensor = nn.utils.get_total_norm(gradients)
    optimiser.grad_scale = ((norm + _EPSILON) / max_norm).clamp(min=1.0)  # type: ignore[attr-defined]
