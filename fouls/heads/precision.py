"""In which numbers a head is trained: float32, or with the large matrix products in bfloat16.

With bfloat16 the weights, their gradients, the optimiser and every other layer stay in float32, and whatever is
measured or predicted is computed in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from fouls.errors import ConfigError
from fouls.processor import cpu_multiplies_bf16

if TYPE_CHECKING:
    from fouls.heads.batch import InputForm
    from fouls.heads.head import HeadConfig

Precision = Literal["auto", "fp32", "bf16"]


def resolve_precision(wanted: Precision, head: HeadConfig, form: InputForm, device: torch.device) -> Precision:
    """``fp32`` or ``bf16``; ``auto`` is ``bf16`` where a CPU multiplies in it and the head's products go that way.

    Raises:
        ConfigError: ``bf16`` for a head, or for inputs, that are trained in float32 alone.
    """
    possible = head.low_precision and head.standardise and head.project is None and not form.pose_width
    if wanted == "auto":
        return "bf16" if possible and device.type == "cpu" and cpu_multiplies_bf16() else "fp32"
    if wanted == "bf16" and not possible:
        raise ConfigError(
            "precision is 'bf16', which mlp and tcn can be trained in, on standardised features without --project and "
            "--pose; take fp32, or auto"
        )
    return wanted


def training_dtype(precision: Precision) -> torch.dtype:
    """In which dtype features go into the head in training."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
