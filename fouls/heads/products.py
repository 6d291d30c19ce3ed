"""Matrix products in the dtype of the features, with weights and results in float32."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b. With x in bfloat16 the product is computed in it, forward and backward; all else is float32.

    Args:
        x: (…, D), float32 or bfloat16.
        weight: (H, D) float32.
        bias: (H,) float32; ``None``: 0.

    Returns:
        (…, H) float32
    """
    if x.dtype == weight.dtype:
        return F.linear(x, weight, bias)
    product = F.linear(x, weight.to(x.dtype))
    return product.float() if bias is None else product + bias


class Linear(nn.Linear):
    """A linear layer whose product is computed in the dtype of x, see :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """From x (…, D), float32 or bfloat16, to (…, H) float32."""
        return linear(x, self.weight, self.bias)
