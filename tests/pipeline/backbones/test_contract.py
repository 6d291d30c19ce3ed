"""What every registered backbone has to keep, whatever family it is of; and that the registry tells the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import BACKBONES, BuildRequest, load_builder
from fouls.pipeline.backbones.weights import parse_weights
from tests.pipeline.backbones.reduced import reduce

ODD_SIZES = [(1, 1), (41, 67), (150, 20)]


def clips(count, num_frames, height=41, width=67):
    return np.random.default_rng(0).integers(0, 256, (count, num_frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_registry_tells_the_truth(name):
    """The net at its full size, without memory for its weights."""
    entry = BACKBONES[name]
    with torch.device("meta"):
        net = load_builder(entry)(
            BuildRequest(name=name, entry=entry, source=parse_weights("random:0"), num_frames=None)
        )
    assert net.name == (entry.alias_of or name)
    assert net.num_frames == entry.num_frames
    assert net.preprocessing.crop == entry.size
    assert {pool: one.shape for pool, one in net.pools.items()} == entry.pools
    assert list(net.pools) == list(entry.pools)


@pytest.mark.parametrize("name", BACKBONES)
def test_contract(name, monkeypatch):
    num_frames = reduce(name, monkeypatch)
    backbone = load_backbone(name, weights="random:0", num_frames=num_frames)
    assert backbone.name == (BACKBONES[name].alias_of or name)
    assert backbone.default_pool == next(iter(BACKBONES[name].pools))
    assert list(backbone.pools) == list(BACKBONES[name].pools)
    size, frames = backbone.preprocessing.crop, backbone.num_frames

    for height, width in ODD_SIZES:
        x = backbone.preprocess(clips(1, frames, height, width))
        assert x.shape == (1, 3, frames, size, size)
        assert x.dtype == torch.float32
        assert x.isfinite().all()

    x = backbone.preprocess(clips(2, frames))
    together = backbone.features(x, backbone.pools)
    assert list(together) == list(backbone.pools)
    for pool, feature in together.items():
        assert feature.shape == (2, *backbone.pools[pool])
        assert feature.dtype == torch.float32
        assert feature.isfinite().all()
        assert not feature.requires_grad
    assert not torch.equal(together[backbone.default_pool][0], together[backbone.default_pool][1])

    alone = backbone.features(x[1:], backbone.pools)
    for pool, feature in alone.items():
        largest = together[pool].abs().max().item()
        torch.testing.assert_close(feature, together[pool][1:], atol=1e-5 * largest, rtol=0)  # sums in another order

    again = backbone.features(x[1:])
    assert list(again) == [backbone.default_pool]
    assert torch.equal(again[backbone.default_pool], alone[backbone.default_pool])
