from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from fouls.errors import ConfigError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.parity import Setting, deviation, deviations
from tests.pipeline.backbones.checkpoints import tiny_checkpoint


def load(weights, setting: Setting) -> Any:
    return load_backbone(
        "videomae", weights=weights, precision=setting.precision, attention=setting.attention, compile=setting.compile
    )


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("parity") / "tiny"))


def test_deviation_by_hand():
    ours = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    wanted = torch.tensor([[3.0, 4.5], [1.0, 1.0]])
    found = deviation(ours, wanted)
    assert found.cosine == pytest.approx(1 / np.sqrt(2))
    assert found.largest == 1.0
    assert found.relative == pytest.approx(1 / 4.5)
    assert deviation(wanted, wanted).largest == 0.0


def test_the_reference_against_itself(checkpoint, frames):
    found = deviations(partial(load, checkpoint), frames, Setting(), pools=["mean", "temporal"])
    assert list(found) == ["mean", "temporal"]
    assert all(one.largest == 0.0 and one.cosine == pytest.approx(1) for one in found.values())


def test_settings_are_put_to_use(checkpoint, frames):
    used = []

    def spy(setting: Setting) -> Any:
        backbone = load(checkpoint, setting)
        encode = backbone.encode
        backbone.encode = lambda part, pools: used.append((setting.precision, len(part))) or encode(part, pools)
        return backbone

    found = deviations(spy, frames, Setting(precision="bf16", batch_size=2, attention=None))
    assert used == [("fp32", 1)] * 5 + [("bf16", 2), ("bf16", 2), ("bf16", 1)]
    whole = load(checkpoint, Setting()).encode(frames)["mean"]
    half = load(checkpoint, Setting(precision="bf16", attention=None)).encode(frames)["mean"]
    assert list(found) == ["mean"]
    assert found["mean"].largest == (half.double() - whole.double()).abs().max().item() > 0
    assert 0.999 < found["mean"].cosine < 1


def test_another_reference(checkpoint, frames):
    bf16 = Setting(precision="bf16", attention="library")
    tiled = Setting(precision="bf16", attention="tiled")
    found = deviations(partial(load, checkpoint), frames, tiled, reference=bf16)["mean"]
    assert found.cosine > 0.9999
    assert found.relative < 2**-6


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="batch size is 0"):
        Setting(batch_size=0)
