"""How far features of one way to run the forward pass are from those of another, on the same clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fouls.cache.spec import Precision
from fouls.errors import ConfigError
from fouls.pipeline.backbones.attention import AttentionKind
from fouls.pipeline.backbones.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A way to run the forward pass; all but the precision should change no more than the rounding."""

    precision: Precision = "fp32"
    batch_size: int = 1
    """Clips at once."""
    attention: AttentionKind | None = "library"
    """``None``: whichever is faster."""
    compile: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch size is {self.batch_size}; it must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Of the features of some clips from their reference."""

    cosine: float
    """The smallest of any clip."""
    largest: float
    """The largest difference of any value."""
    relative: float
    """That, by the largest value of the reference."""


Load = Callable[[Setting], Backbone]
"""Loads the same backbone with the same weights, to be run in another way."""


def deviations(
    load: Load,
    frames: Tensor | npt.NDArray[np.uint8],
    setting: Setting,
    *,
    reference: Setting | None = None,
    pools: Iterable[str] | None = None,
) -> dict[str, Deviation]:
    """Compare two ways to run a backbone.

    Only one of the two backbones is held at a time.

    Args:
        load: of the backbone, usually :func:`fouls.load_backbone` with its name and weights filled in.
        frames: uint8 (B, T, H, W, 3), as :meth:`~fouls.pipeline.backbones.backbone.Backbone.encode` takes them.
        setting: what is compared.
        reference: with what; ``None`` is fp32, a clip at a time, as the library that the net is from does it.
        pools: of the features; ``None`` is the default pool.

    Returns:
        pool → how far it is from the reference.

    Raises:
        BackboneError: no such pool, or frames of another shape.
    """
    names = None if pools is None else list(pools)
    wanted = _features(load, frames, Setting() if reference is None else reference, names)
    found = _features(load, frames, setting, names)
    return {pool: deviation(found[pool], wanted[pool]) for pool in wanted}


def deviation(features: Tensor, reference: Tensor) -> Deviation:
    """How far features (B, …) are from others of the same shape; in fp64."""
    ours, wanted = (part.double().flatten(1) for part in (features, reference))
    largest = (ours - wanted).abs().max().item()
    return Deviation(
        cosine=torch.cosine_similarity(ours, wanted).min().item(),
        largest=largest,
        relative=largest / max(wanted.abs().max().item(), torch.finfo(torch.float64).tiny),
    )


def _features(
    load: Load, frames: Tensor | npt.NDArray[np.uint8], setting: Setting, pools: list[str] | None
) -> dict[str, Tensor]:
    backbone = load(setting)
    batches = [
        backbone.encode(frames[first : first + setting.batch_size], pools)
        for first in range(0, len(frames), setting.batch_size)
    ]
    return {pool: torch.cat([batch[pool] for batch in batches]).cpu() for pool in batches[0]}
