"""Mixup and cutmix: what goes where, and what share of the label it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from fouls.errors import ConfigError
from fouls.heads.training.mixing import Mixed, MixingConfig, cutmix, mix, mixup


def batch(num_samples: int = 64) -> tuple[Tensor, Tensor]:
    """Samples with 1 to 3 views of 1 to 8 steps; the features are the sample's number, or NaN where there is none."""
    rng = np.random.default_rng(6)
    mask = torch.zeros(num_samples, 3, 8, dtype=torch.bool)
    for sample in range(num_samples):
        for view in range(rng.integers(1, 4)):
            mask[sample, view, : rng.integers(1, 9)] = True
    numbers = torch.arange(num_samples, dtype=torch.float32)[:, None, None, None].expand(num_samples, 3, 8, 2)
    return torch.where(mask[..., None], numbers, torch.nan), mask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own_shares(mixed: Mixed, mask: Tensor) -> Tensor:
    """The share of its own number that each step holds, read off the mixed features."""
    own = torch.arange(len(mask), dtype=torch.float32)[:, None, None]
    partner = mixed.partners.float()[:, None, None]
    alike = own == partner
    return torch.where(alike, 1.0, (mixed.x[..., 0] - partner) / torch.where(alike, 1.0, own - partner))


@pytest.mark.parametrize("function", [mixup, cutmix])
def test_shares_are_what_was_mixed(function: object) -> None:
    x, mask = batch()
    mixed: Mixed = function(x, mask, 1.0, generator())  # type: ignore[operator]
    assert sorted(mixed.partners.tolist()) == list(range(64))
    assert mixed.x[mask].isfinite().all()
    different = mixed.partners != torch.arange(64)
    read = own_shares(mixed, mask)
    for sample in torch.nonzero(different)[:, 0].tolist():
        there = mask[sample]
        torch.testing.assert_close(mixed.step_shares[sample][there], read[sample][there], rtol=1e-4, atol=1e-4)
        assert mixed.shares[sample].item() == pytest.approx(read[sample][there].mean().item(), abs=1e-4)
    lacks = mask & ~mask[mixed.partners]
    assert lacks.any()
    assert torch.equal(mixed.x[lacks], x[lacks])  # what the partner lacks stays one's own
    assert (mixed.step_shares[lacks] == 1).all()
    assert (mixed.step_shares[~mask] == 1).all()


def test_mixup_blends_every_common_step_by_one_share() -> None:
    x, mask = batch()
    mixed = mixup(x, mask, 1.0, generator())
    common = mask & mask[mixed.partners]
    for sample in range(64):
        shares = mixed.step_shares[sample][common[sample]]
        assert len(shares.unique()) == 1  # the first step of the first view is always common
        assert 0 < shares[0] < 1
    assert len(mixed.shares.unique()) > 50


def test_mixups_shares_are_beta_distributed() -> None:
    x, mask = torch.zeros(4000, 1, 1, 1), torch.ones(4000, 1, 1, dtype=torch.bool)
    for alpha in (0.2, 1.0):
        shares = mixup(x, mask, alpha, generator()).shares.numpy()
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_exchanges_one_run_of_steps_in_all_views() -> None:
    x, mask = batch()
    mixed = cutmix(x, mask, 1.0, generator())
    foreign = mixed.step_shares == 0
    assert set(mixed.step_shares.unique().tolist()) == {0.0, 1.0}
    for sample in range(64):
        length = int(mask[sample].any(dim=0).sum())
        taken = foreign[sample].any(dim=0).nonzero()[:, 0]
        if len(taken):
            run = torch.arange(int(taken[0]), int(taken[-1]) + 1)
            common = mask[sample] & mask[mixed.partners[sample]]
            assert torch.equal(foreign[sample][:, run], common[:, run])
        assert len(taken) < length  # something stays its own
    assert (foreign.any(dim=(1, 2))).sum() > 30


def test_cutmix_takes_the_run_that_lambda_says() -> None:
    x, mask = torch.zeros(4000, 1, 10, 1), torch.ones(4000, 1, 10, dtype=torch.bool)
    mixed = cutmix(x, mask, 1.0, generator())
    cut = (mixed.step_shares[:, 0] == 0).sum(dim=1)
    # λ is uniform: half a bin at 0, and what would be 10 is 9
    expected = np.array([0.5, *[1.0] * 8, 1.5]) * 400
    assert stats.chisquare(np.bincount(cut, minlength=10), expected).pvalue > 0.01
    torch.testing.assert_close(mixed.shares, 1 - cut / 10)
    starts = (mixed.step_shares[:, 0] == 0).float().argmax(dim=1)[cut == 5]
    assert stats.chisquare(np.bincount(starts, minlength=6)).pvalue > 0.01


def test_a_single_step_is_never_cut() -> None:
    x, mask = torch.randn(5, 2, 1, 3), torch.ones(5, 2, 1, dtype=torch.bool)
    mixed = cutmix(x, mask, 1.0, generator())
    assert torch.equal(mixed.x, x)
    assert (mixed.shares == 1).all()


def test_a_seed_repeats_and_another_does_not() -> None:
    x, mask = batch()
    config = MixingConfig(mixup_alpha=0.4, cutmix_alpha=1.0)
    first, again, other = (mix(x, mask, config, generator(seed)) for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first.shares, again.shares)
    assert torch.equal(first.x[mask], again.x[mask])
    assert torch.equal(first.partners, again.partners)
    assert not torch.equal(first.partners, other.partners)


def test_the_config_decides() -> None:
    x, mask = batch()
    draw = generator()
    assert mix(x, mask, MixingConfig(), draw) is None
    blends = [mix(x, mask, MixingConfig(mixup_alpha=1.0, cutmix_alpha=1.0), draw) for _ in range(60)]
    cuts = sum(set(mixed.step_shares.unique().tolist()) == {0.0, 1.0} for mixed in blends if mixed is not None)
    assert 15 < cuts < 45
    only_cut = mix(x, mask, MixingConfig(cutmix_alpha=1.0), draw)
    assert only_cut is not None
    assert set(only_cut.step_shares.unique().tolist()) == {0.0, 1.0}


def test_values_are_checked() -> None:
    with pytest.raises(ConfigError, match="mixup alpha is -1; allowed"):
        MixingConfig(mixup_alpha=-1)
    with pytest.raises(ConfigError, match="cutmix alpha is 1, but the features that the head sees have one time step"):
        MixingConfig(cutmix_alpha=1).check_steps(1)
    MixingConfig(cutmix_alpha=1).check_steps(2)
    MixingConfig(mixup_alpha=1).check_steps(1)
