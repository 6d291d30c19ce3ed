"""What an example of each class weighs, read off the train split."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

ClassWeights = Literal["none", "balanced", "inverse", "sqrt_inverse", "effective_number"]


def class_weights(counts: Tensor, kind: ClassWeights, cap: float, beta: float = 0.999) -> Tensor:
    """What an example of each class weighs in the loss.

    With n_c examples of class c, n in all, and C classes that have any:

    - ``none``: 1
    - ``balanced``: n / (C n_c), as scikit-learn's ``compute_class_weight``: the mean over the examples is 1
    - ``inverse``: 1 / n_c, scaled so that the mean over the classes is 1
    - ``sqrt_inverse``: 1 / √n_c, scaled likewise
    - ``effective_number``: (1 − β) / (1 − β^n_c), scaled likewise: β = 0 is ``none``, and β → 1 comes to ``inverse``
      (Cui et al. 2019, arXiv 1901.05555, proposition 1)

    No weight exceeds ``cap``. A class without examples weighs 0: nothing can be learned of it.

    Args:
        counts: (classes,) examples of each class.
        kind: which.
        cap: the greatest weight.
        beta: β of ``effective_number``, in [0, 1).

    Returns:
        (classes,) float32.
    """
    counts = counts.double()
    present = counts > 0
    if kind == "none":
        return present.float()
    if kind == "balanced":
        weights = counts.sum() / (present.sum() * counts)
    else:
        weights = 1 / _numbers(counts, kind, beta)
        weights = weights / weights[present].mean()
    return torch.where(present, weights, 0.0).clamp(max=cap).float()


def _numbers(counts: Tensor, kind: ClassWeights, beta: float) -> Tensor:
    """What the weights are inverse to."""
    if kind == "inverse":
        return counts
    if kind == "sqrt_inverse":
        return counts.sqrt()
    if beta == 0:
        return (counts > 0).double()
    return -torch.expm1(counts * math.log(beta)) / (1 - beta)
