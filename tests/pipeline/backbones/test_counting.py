"""What is counted is what the papers say, or was counted elsewhere (in G a clip, and M)."""

from __future__ import annotations

import pytest
import torch

from fouls.errors import BackboneError
from fouls.pipeline.backbones.counting import Count, count
from fouls.pipeline.backbones.loading import load_backbone, load_blank


@pytest.mark.parametrize(
    ("name", "num_frames", "multiply_adds"),
    [
        ("videomae", None, 180.3),
        ("mvit_v1_b", None, 70.6),
        ("mvit_v2_s", None, 64.2),
        ("mvit_v2_b", None, 224.5),
        ("swin3d_t", None, 87.8),
        ("movinet_a0", None, 2.6),
        ("movinet_a2", None, 11.6),
        ("vjepa2_l", 16, 828),
    ],
)
def test_multiply_adds(name: str, num_frames: int | None, multiply_adds: float) -> None:
    counted = count(load_blank(name, num_frames=num_frames))
    assert counted.multiply_adds / 1e9 == pytest.approx(multiply_adds, rel=0.015)


def test_parameters() -> None:
    assert count(load_blank("mvit_v2_b")).parameters / 1e6 == pytest.approx(51.2, abs=0.05)


def test_counting_needs_no_values() -> None:
    """The same as on a real net, and nothing is drawn from torch's generator."""
    before = torch.random.get_rng_state()
    blank = load_blank("swin3d_t", num_frames=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert blank.device.type == "meta"
    real = load_backbone("swin3d_t", weights="random:0", num_frames=4)
    assert (blank.pools, blank.preprocessing, blank.name) == (real.pools, real.preprocessing, real.name)
    assert count(blank).parameters == real.num_parameters


def test_a_convolution_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    from fouls.cache.spec import PreprocessingSpec, WeightsSpec
    from fouls.pipeline.backbones.backbone import Backbone, Net
    from fouls.pipeline.backbones.pooling import mean_pool

    with torch.device("meta"):
        module = nn.Conv3d(3, 12, (1, 16, 16), stride=(1, 16, 16))
    net = Net(
        name="patches",
        num_frames=4,
        preprocessing=PreprocessingSpec(resize_to=32, crop=32, antialias=True, mean=(0, 0, 0), std=(1, 1, 1)),
        module=module,
        tokens=lambda x: module(x).flatten(2).transpose(1, 2),
        pools={"mean": mean_pool(12)},
    )
    backbone = Backbone(net, weights=WeightsSpec(sha256=""), device=torch.device("meta"), precision="fp32")
    patches, values = 4 * 2 * 2, 3 * 16 * 16
    assert count(backbone) == Count(parameters=12 * (values + 1), multiply_adds=patches * values * 12)


def test_what_does_not_exist() -> None:
    with pytest.raises(BackboneError, match="mvit_v2_s takes 16 frames a clip, not 8"):
        load_blank("mvit", num_frames=8)
