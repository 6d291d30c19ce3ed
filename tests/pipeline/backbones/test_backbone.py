from __future__ import annotations

import numpy as np
import pytest
import torch

from fouls.errors import BackboneError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import tiny_checkpoint

POOLS = ["mean", "temporal"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("backbone") / "tiny"))


@pytest.fixture(scope="module", params=["videomae", "swin3d_t"])
def backbone(request, checkpoint):
    if request.param == "videomae":
        return load_backbone("videomae", weights=checkpoint)
    return load_backbone("swin3d_t", weights="random:0", num_frames=2)


def clips(backbone, count, height=41, width=67):
    return np.random.default_rng(0).integers(0, 256, (count, backbone.num_frames, height, width, 3), dtype=np.uint8)


def test_shapes_and_dtypes(backbone):
    size, num_frames = backbone.preprocessing.crop, backbone.num_frames
    x = backbone.preprocess(clips(backbone, 2))
    assert x.shape == (2, 3, num_frames, size, size)
    assert x.dtype == torch.float32
    features = backbone.features(x, backbone.pools)
    assert {name: feature.shape for name, feature in features.items()} == {
        name: (2, *shape) for name, shape in backbone.pools.items()
    }
    assert {feature.dtype for feature in features.values()} == {torch.float32}
    assert not any(feature.requires_grad for feature in features.values())
    assert all(feature.isfinite().all() for feature in features.values())


def test_default_pool_is_the_mean(backbone):
    x = backbone.preprocess(clips(backbone, 1))
    assert backbone.default_pool == "mean"
    assert list(backbone.features(x)) == ["mean"]
    assert torch.equal(backbone.features(x)["mean"], backbone.features(x, ["temporal", "mean", "mean"])["mean"])


def test_all_pools_come_from_one_forward_pass(backbone):
    passes = []
    hook = next(iter(backbone._net.module.children())).register_forward_hook(lambda *_: passes.append(1))
    backbone.encode(clips(backbone, 1), backbone.pools)
    hook.remove()
    assert len(passes) == 1


def test_a_clip_does_not_depend_on_its_batch_and_repeats(backbone):
    frames = clips(backbone, 3)
    together = backbone.encode(frames, POOLS)
    again = backbone.encode(torch.from_numpy(frames), POOLS)
    for pool in POOLS:
        assert torch.equal(again[pool], together[pool])
        alone = torch.cat([backbone.encode(frame[None], POOLS)[pool] for frame in frames])
        torch.testing.assert_close(alone, together[pool], atol=1e-5, rtol=1e-5)  # sums in another order


@pytest.mark.parametrize("size", [(1, 1), (300, 20), (224, 225), (7, 500)])
def test_odd_sizes(backbone, size):
    assert backbone.encode(clips(backbone, 1, *size))["mean"].isfinite().all()


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_of_the_forward_pass_alone(checkpoint, precision, dtype):
    full = load_backbone("videomae", weights=checkpoint)
    half = load_backbone("videomae", weights=checkpoint, precision=precision)
    assert half.weights == full.weights
    frames = clips(full, 2)
    assert half.preprocess(frames).dtype == dtype
    ours, exact = half.encode(frames, half.pools), full.encode(frames, full.pools)
    for pool in ours:
        assert ours[pool].dtype == torch.float32
        assert torch.cosine_similarity(ours[pool].flatten(1), exact[pool].flatten(1)).min() > 0.999
    state = half._net.module.state_dict()
    assert state["videomae.encoder.layer.0.output.dense.weight"].dtype == dtype
    assert state["classifier.weight"].dtype == torch.float32


def test_unknown_pool_names_what_exists(backbone):
    known = ", ".join(backbone.pools)
    with pytest.raises(BackboneError, match=f"{backbone.name} has no pool 'cls'; it has {known}"):
        backbone.encode(clips(backbone, 1), ["mean", "cls"])


def test_input_of_another_shape_is_refused(backbone):
    x = backbone.preprocess(clips(backbone, 1))
    with pytest.raises(BackboneError, match="preprocess the frames first"):
        backbone.features(x[:, :, :1])
    with pytest.raises(BackboneError, match=r"they must be \(B, T, H, W, 3\)"):
        backbone.preprocess(clips(backbone, 1)[0])


def test_repr_says_what_it_is(backbone):
    assert repr(backbone).startswith(
        f"Backbone({backbone.name}, {backbone.num_frames} frames, fp32 on cpu; pools: mean"
    )
