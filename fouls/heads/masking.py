"""Setting to 0 what a mask says is not there."""

from __future__ import annotations

import torch
from torch import Tensor


def zero_padding(x: Tensor, mask: Tensor) -> Tensor:
    """x (…, T, D) with 0, in the place even of NaN, where mask (…, T) is false; x itself where all is there.

    On a CPU whole rows are filled: ``masked_fill`` goes value by value, which takes longer than most layers.
    """
    if x.is_cuda:
        return x.masked_fill(~mask[..., None], 0.0)
    missing = torch.nonzero(~mask.reshape(-1))[:, 0]
    if not len(missing):
        return x
    return x.reshape(-1, x.shape[-1]).index_fill(0, missing, 0.0).reshape(x.shape)
