"""Linear layers whose weights lie once and for all as oneDNN's products in bf16 read them.

torch keeps weights by rows, and oneDNN puts them into blocks in every call; a frozen net can do that once. What packs
and multiplies are the operators into which ``torch.compile`` turns such layers, with the GELU behind them if there is
one: it is then computed from what the product has accumulated in fp32. ``benchmarks/forward.py`` measures both.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fouls.processor import cpu_multiplies_bf16

FOLLOWED_BY = {
    "VideoMAEIntermediate": ("dense", "intermediate_act_fn"),
    "TimesformerIntermediate": ("dense", "intermediate_act_fn"),
    "ViTMLP": ("fc1", "activation_fn"),
    "Dinov2MLP": ("fc1", "activation_fn"),
    "VivitMLP": ("fc1", "activation_fn"),
    "VideoPrismMLP": ("fc1", "activation_fn"),
    "VJEPA2MLP": ("fc1", "activation"),
}
"""Classes of transformers → a linear layer in them, and the activation that is applied to nothing but its result."""


class PackedLinear(nn.Module):
    """A linear layer in bf16 on a CPU, for inference alone: (…, in) → (…, out), then a GELU if that is asked for.

    Its state dict is that of the layer it was made from; none can be loaded into it.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features, self.gelu = linear.in_features, linear.out_features, gelu
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()

    @property
    def weight(self) -> Tensor:
        """(out, in), unpacked anew each time, for what reads it instead of calling the layer."""
        return self.packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        kind, algorithm = ("gelu", "none") if self.gelu else ("none", "")
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, kind, [], algorithm)
        return result

    def extra_repr(self) -> str:
        """As that of ``nn.Linear``."""
        return f"in_features={self.in_features}, out_features={self.out_features}, gelu={self.gelu}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias


def packing_pays(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether packed layers are faster: in bf16, on a CPU that multiplies it natively, if torch has the operators."""
    return device.type == "cpu" and dtype == torch.bfloat16 and cpu_multiplies_bf16() and _can_pack()


def pack_linears(module: nn.Module) -> None:
    """Put packed layers in the place of all linear ones within a module, together with the GELUs right behind them.

    Args:
        module: in bf16, on a CPU. Subclasses of ``nn.Linear`` stay: their weights may be read otherwise.
    """
    parents = [parent for parent in module.modules() if not isinstance(parent, nn.Linear)]  # what goes is not held
    for parent in parents:
        children = dict(parent.named_children())
        for linear, activation in _pairs(parent, list(children)):
            if type(children.get(linear)) is nn.Linear and _is_gelu(children.get(activation)):
                setattr(parent, linear, PackedLinear(children.pop(linear), gelu=True))  # type: ignore[arg-type]
                setattr(parent, activation, nn.Identity())
        for name, child in children.items():
            if type(child) is nn.Linear:
                setattr(parent, name, PackedLinear(child))


def _pairs(parent: nn.Module, names: list[str]) -> list[tuple[str, str]]:
    """Names of children of which the second is applied to what the first returns."""
    if isinstance(parent, nn.Sequential):
        return list(pairwise(names))
    known = FOLLOWED_BY.get(type(parent).__name__)
    return [] if known is None else [known]


def _is_gelu(module: nn.Module | None) -> bool:
    """Whether it is the exact one; torch's, or transformers'."""
    if isinstance(module, nn.GELU):
        return module.approximate == "none"
    return module is not None and getattr(module, "act", None) is F.gelu


@cache
def _can_pack() -> bool:
    """Whether the operators, which torch does not document, are there and compute what they should."""
    linear = nn.Linear(64, 32).requires_grad_(False).bfloat16()
    x = torch.linspace(-1, 1, 3 * 64, dtype=torch.bfloat16).view(3, 64)
    wanted = F.linear(x.float(), linear.weight.float(), linear.bias.float())
    try:
        with torch.inference_mode():
            found = [PackedLinear(linear, gelu=gelu)(x).float() for gelu in (False, True)]
    except (AttributeError, RuntimeError):
        return False
    return all(
        torch.allclose(ours, theirs, atol=2**-6) for ours, theirs in zip(found, (wanted, F.gelu(wanted)), strict=True)
    )
