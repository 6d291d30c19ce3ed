"""How far features of one way to run the forward pass are from those of another, on the same clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    wanted = features_in(load, frames, Setting() if reference is None else reference, names)
    return deviations_from(wanted, features_in(load, frames, setting, names))


def deviations_from(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Deviation]:
    """How far the features of each pool, (B, …), are from those that are wanted."""
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


def features_in(
    load: Load, frames: Tensor | npt.NDArray[np.uint8], setting: Setting, pools: Iterable[str] | None
) -> dict[str, Tensor]:
    """Load a backbone, and compute the features of some clips in one setting.

    Args:
        load: see :func:`deviations`.
        frames: uint8 (B, T, H, W, 3).
        setting: how.
        pools: of the features; ``None`` is the default pool.

    Returns:
        pool → float32 (B, …), on the CPU.
    """
    return features_of(load(setting), frames, setting.batch_size, pools)


def features_of(
    backbone: Backbone, frames: Tensor | npt.NDArray[np.uint8], batch_size: int, pools: Iterable[str] | None
) -> dict[str, Tensor]:
    """The features of some clips, so many at once: pool → float32 (B, …), on the CPU."""
    names = backbone.check_pools(pools)
    batches = [
        backbone.encode(frames[first : first + batch_size], names) for first in range(0, len(frames), batch_size)
    ]
    return {pool: torch.cat([batch[pool] for batch in batches]).cpu() for pool in names}
