"""How large a backbone is, and how much it computes: counted on the net itself, without weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from fouls.pipeline.backbones.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class Count:
    """The size of a backbone."""

    parameters: int
    """Of the net, its classifier among them."""
    multiply_adds: int
    """Of one clip's forward pass to the default pool: those of matrix products and convolutions."""


def count(backbone: Backbone) -> Count:
    """Send a clip without values through a backbone without values, and count.

    Args:
        backbone: from :func:`fouls.pipeline.backbones.loading.load_blank`.
    """
    size = backbone.preprocessing.crop
    clip = torch.empty(1, 3, backbone.num_frames, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        backbone.features(clip)
    return Count(parameters=backbone.num_parameters, multiply_adds=counter.get_total_flops() // 2)
