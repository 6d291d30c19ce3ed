"""Mixup and cutmix on features: each sample of a batch is mixed with a partner, and so are their labels.

A sample keeps its own mask: where the partner has a step that it lacks, that step is lost; where it has a step that the
partner lacks, that step stays its own. The label's share is what was truly mixed: the mean over the sample's steps of
the share that is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fouls.errors import ConfigError
from fouls.heads.head import check_range


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """How samples are mixed in training; with both, a coin decides for each batch."""

    mixup_alpha: float = 0.0
    """α of mixup's λ ~ Beta(α, α), such as 0.2; 0 is off."""
    cutmix_alpha: float = 0.0
    """α of cutmix's, such as 1; 0 is off."""

    def __post_init__(self) -> None:
        check_range("mixup alpha", self.mixup_alpha, 0, 100)
        check_range("cutmix alpha", self.cutmix_alpha, 0, 100)

    def check_steps(self, num_steps: int) -> None:
        """Refuse to cut where there is no time, before training starts.

        Args:
            num_steps: T of the longest track that the head sees.

        Raises:
            ConfigError: cutmix with one time step.
        """
        if self.cutmix_alpha and num_steps < 2:
            raise ConfigError(
                f"cutmix alpha is {self.cutmix_alpha:g}, but the features that the head sees have one time step, and "
                "cutmix exchanges steps: take mixup, or a pool with time steps and a head that reads them"
            )


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A mixed batch."""

    x: Tensor
    """(B, V, T, D)"""
    partners: Tensor
    """(B,) int64: the position in the batch of each sample's partner."""
    shares: Tensor
    """(B,) float32: λ, how much of a label that a sample has counts; of the partner's counts the rest."""
    step_shares: Tensor
    """(B, V, T) float32: the same for labels of single steps; 1 where the mask is false."""


def mix(x: Tensor, mask: Tensor, config: MixingConfig, generator: torch.Generator) -> Mixed | None:
    """Mix a batch as a config says; ``None`` where it says nothing.

    Args:
        x: (B, V, T, D)
        mask: (B, V, T); what stands in x where it is false is arbitrary.
        config: how.
        generator: on the CPU; decides partners and shares.
    """
    if not (config.mixup_alpha or config.cutmix_alpha):
        return None
    take_mixup = config.mixup_alpha > 0
    if take_mixup and config.cutmix_alpha:
        take_mixup = bool(torch.rand((), generator=generator) < 0.5)
    if take_mixup:
        return mixup(x, mask, config.mixup_alpha, generator)
    return cutmix(x, mask, config.cutmix_alpha, generator)


def mixup(x: Tensor, mask: Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """λ x_a + (1 − λ) x_b at the steps that both have, with λ ~ Beta(α, α) for each sample.

    Source: Zhang et al. 2018 (arXiv 1710.09412, equation 1). Arguments as of :func:`mix`.
    """
    partners = torch.randperm(len(x), generator=generator).to(x.device)
    kept = _beta(alpha, len(x), generator).to(x.device)  # (B,)
    common = mask & mask[partners]
    step_shares = torch.where(common, kept[:, None, None], 1.0)  # (B, V, T)
    blend = torch.lerp(x[partners], x, step_shares[..., None])
    return Mixed(
        x=torch.where(common[..., None], blend, x),
        partners=partners,
        shares=_label_shares(step_shares, mask),
        step_shares=step_shares,
    )


def cutmix(x: Tensor, mask: Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """A run of steps in a row comes from the partner, in all views: round((1 − λ) T) of T, but one stays at least.

    T is the number of steps that the sample has, λ ~ Beta(α, α) for each sample, and the run's place is uniform.
    Source: Yun et al. 2019 (arXiv 1905.04899), along time in the place of space. Arguments as of :func:`mix`.
    """
    partners = torch.randperm(len(x), generator=generator).to(x.device)
    kept = _beta(alpha, len(x), generator).to(x.device)  # (B,)
    place = torch.rand(len(x), generator=generator).to(x.device)  # (B,)
    steps = mask.any(dim=1)  # (B, T)
    lengths = steps.sum(dim=1)  # (B,)
    cut = ((1 - kept) * lengths).round().minimum(lengths - 1).clamp(min=0)  # (B,)
    start = (place * (lengths - cut + 1)).floor()
    positions = steps.cumsum(dim=1) - 1  # (B, T): among the sample's steps
    window = (positions >= start[:, None]) & (positions < (start + cut)[:, None])
    foreign = mask & mask[partners] & window[:, None, :]  # (B, V, T)
    step_shares = (~foreign).to(kept.dtype)
    return Mixed(
        x=torch.where(foreign[..., None], x[partners], x),
        partners=partners,
        shares=_label_shares(step_shares, mask),
        step_shares=step_shares,
    )


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Draws of Beta(α, α), (count,) float32; torch's own take no generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count).astype(np.float32))


def _label_shares(step_shares: Tensor, mask: Tensor) -> Tensor:
    """The mean over a sample's steps of what is its own, (B,); 1 for a sample without steps."""
    foreign = ((1 - step_shares) * mask).sum(dim=(1, 2))
    return 1 - foreign / mask.sum(dim=(1, 2)).clamp(min=1)
