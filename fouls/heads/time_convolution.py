"""A convolution over time steps as one matrix product, in the layout that all else has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fouls.heads.products import linear


class TimeConvolution(nn.Module):
    """``nn.Conv1d`` with zeros at both ends, on (N, T, D) instead of (N, D, T).

    One product gives what every step contributes to each tap of the kernel; the contributions are then added, each
    moved by its tap. Nothing is transposed, and the features are read once.
    """

    def __init__(self, dim: int, width: int, kernel_size: int, *, dilation: int = 1) -> None:
        """Make the weights, distributed as those of ``nn.Conv1d``.

        Args:
            dim: D.
            width: H.
            kernel_size: k, odd.
            dilation: steps from one tap to the next.
        """
        super().__init__()
        convolution = nn.Conv1d(dim, width, kernel_size)
        assert convolution.bias is not None
        self.weight = nn.Parameter(convolution.weight.detach().permute(2, 0, 1).contiguous())  # (k, H, D)
        self.bias = nn.Parameter(convolution.bias.detach())
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """From x (N, T, D), float32 or bfloat16, to (N, T, H) float32."""
        taps = linear(x, self.weight.flatten(0, 1))  # (N, T, k × H)
        moved: Tensor = _AddMoved.apply(taps, len(self.weight), self.dilation)
        return moved + self.bias


class _AddMoved(torch.autograd.Function):
    """(N, T, k × H) → (N, T, H): step t gets tap j of step t + (j − k // 2) · dilation, as far as that is there.

    Written out since the gradient of every slice would be a padded copy of its own.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(taps: Tensor, kernel_size: int, dilation: int) -> Tensor:
        by_tap = taps.reshape(*taps.shape[:2], kernel_size, -1)
        moved = by_tap[:, :, kernel_size // 2].clone()
        for tap, source, target in _moves(kernel_size, dilation, taps.shape[1]):
            moved[:, target] += by_tap[:, source, tap]
        return moved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:
        ctx.kernel_size, ctx.dilation = inputs[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        by_tap = gradient.new_zeros(*gradient.shape[:2], ctx.kernel_size, gradient.shape[2])
        by_tap[:, :, ctx.kernel_size // 2] = gradient
        for tap, source, target in _moves(ctx.kernel_size, ctx.dilation, gradient.shape[1]):
            by_tap[:, source, tap] = gradient[:, target]
        return by_tap.flatten(2), None, None


def _moves(kernel_size: int, dilation: int, num_steps: int) -> Iterator[tuple[int, slice, slice]]:
    """The taps beside the centre: tap, steps it comes from, steps it goes to."""
    for tap in range(kernel_size):
        offset = (tap - kernel_size // 2) * dilation
        if offset and abs(offset) < num_steps:
            early, late = slice(0, num_steps - abs(offset)), slice(abs(offset), num_steps)
            yield (tap, late, early) if offset > 0 else (tap, early, late)
