"""Which samples an epoch shows, and in which order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fouls.heads.losses import MISSING

Sampling = Literal["shuffle", "balanced", "sqrt"]


def epoch_order(labels: Tensor, kind: Sampling, generator: torch.Generator) -> Tensor:
    """The samples of an epoch.

    - ``shuffle``: each once
    - ``balanced``: n draws with replacement, a sample of class c with weight 1 / n_c: all classes are equally likely
    - ``sqrt``: likewise with weight 1 / √n_c: class c is as likely as √n_c says

    Samples without a label keep the share that they have: u of n draws are theirs on average, all alike. Where classes
    are drawn evenly, weights of classes in the loss would even them out twice: take ``none`` there.

    Args:
        labels: (n,) int64, of the task whose classes count; :data:`MISSING` where there is none.
        kind: which.
        generator: on the CPU.

    Returns:
        (n,) int64 on the CPU.
    """
    if kind == "shuffle":
        return torch.randperm(len(labels), generator=generator)
    return torch.multinomial(draw_weights(labels.cpu(), kind), len(labels), replacement=True, generator=generator)


def draw_weights(labels: Tensor, kind: Literal["balanced", "sqrt"]) -> Tensor:
    """How likely a draw is to give each sample, (n,) float64 with sum 1. Arguments as of :func:`epoch_order`."""
    known = labels != MISSING
    counts = torch.bincount(labels[known]).double()
    power = 1.0 if kind == "balanced" else 0.5
    weights = torch.zeros(len(labels), dtype=torch.float64)
    weights[known] = counts[labels[known]] ** -power
    weights[known] *= known.sum() / weights[known].sum()
    weights[~known] = 1.0
    return weights / len(labels)
