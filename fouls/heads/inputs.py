"""The first layer of every head: features standardised, and projected store by store where asked for; pose encoded."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fouls.heads.batch import Batch, InputForm
from fouls.heads.dropout import Dropout
from fouls.heads.masking import zero_padding
from fouls.heads.memory import fits
from fouls.heads.samples import Samples

POSE_WIDTH, POSE_DROPOUT = 128, 0.15
_CONSTANT = 1e-7


class Standardise(nn.Module):
    """x → (x − mean) / std with the mean and std of the train split; both are saved with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set mean and std over all steps of some tracks; a feature that is constant is only moved.

        Args:
            batches: x (N, T, D) and mask (N, T).
        """
        count = 0
        mean = torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(mean)  # Σ (x − mean)², merged chunk by chunk (Chan et al. 1979): nothing cancels
        for x, mask in batches:
            steps = x.flatten(0, 1) if mask.all() else x[mask]  # (n, D)
            chunk_mean = steps.mean(dim=0)
            chunk_squares = (steps - chunk_mean).square_().sum(dim=0).double()
            step = chunk_mean.double() - mean
            total = count + len(steps)
            squares += chunk_squares + step.square() * (count * len(steps) / total)
            mean += step * (len(steps) / total)
            count = total
        std = (squares / count).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > _CONSTANT, std, 1.0))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x (N, T, D) and mask (N, T) to (N, T, D), 0 where the mask is false."""
        return zero_padding((x - self.mean) / self.std, mask)


def width_after(form: InputForm, project: int | None) -> int:
    """D', what :class:`Inputs` makes of features of a form."""
    stores = form.widths[:-1] if form.pose_width else form.widths
    return (project * len(stores) if project else sum(stores)) + (POSE_WIDTH if form.pose_width else 0)


class Inputs(nn.Module):
    """standardise → a linear layer a store (with ``project``), and Linear → GELU → dropout on the pose.

    The pose layer is that of the mouse TCN: 18 → 128, dropout 0.15.
    """

    def __init__(self, form: InputForm, *, standardise: bool, project: int | None) -> None:
        """Build the layers.

        Args:
            form: what comes in.
            standardise: see :class:`Standardise`.
            project: the width that each store's features are brought to; ``None``: they stay as they are.
        """
        super().__init__()
        self.standardise = Standardise(form.dim) if standardise else None
        self.widths = form.widths
        stores = form.widths[:-1] if form.pose_width else form.widths
        self.projections = nn.ModuleList(nn.Linear(width, project) for width in stores) if project else None
        self.pose = None
        if form.pose_width:
            self.pose = nn.Sequential(nn.Linear(form.pose_width, POSE_WIDTH), nn.GELU(), Dropout(POSE_DROPOUT))
        self.width = width_after(form, project)
        """D', what comes out."""

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Read mean and std off the train split, see :meth:`Standardise.fit`."""
        if self.standardise is not None:
            self.standardise.fit(batches)

    def standardised(self, samples: Samples, dtype: torch.dtype) -> Samples:
        """The samples after the standardisation, computed once instead of in every step; as they are without it.

        They also stay as they are where a step is made of several things, or where they would not fit beside
        themselves into the memory.

        Args:
            samples: reduced.
            dtype: in which the features are kept.
        """
        if samples.pose is not None or not fits(samples.values.numel() * dtype.itemsize, samples.device):
            return samples
        if self.standardise is None:
            return samples
        return samples.standardise(self.standardise.mean, self.standardise.std, dtype)

    def forward(self, batch: Batch) -> Tensor:
        """The tracks of a batch, (N, T, D'), 0 where there is no step."""
        x, mask = batch.tracks, batch.steps
        x = zero_padding(x, mask) if self.standardise is None or batch.standardised else self.standardise(x, mask)
        if self.projections is None and self.pose is None:
            return x
        parts = list(x.split(self.widths, dim=-1))
        if self.projections is not None:
            parts[: len(self.projections)] = [layer(part) for layer, part in zip(self.projections, parts, strict=False)]
        if self.pose is not None:
            parts[-1] = self.pose(parts[-1])
        return zero_padding(torch.cat(parts, dim=-1), mask)
