"""Checkpoints of the authors' own code give the authors' own numbers."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table

from fouls.errors import WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.mvit import _tokens, mvit_v2, mvit_v2_b
from fouls.pipeline.backbones.slowfast import from_slowfast
from fouls.pipeline.backbones.videomae_original import config_values, convert
from tests.pipeline.backbones.checkpoints import tiny_config
from tests.pipeline.backbones.reference import reference_input, reference_state

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}


def put_config(folder, **changes):
    config = tiny_config(**TINY, image_size=32, num_frames=4, num_labels=7, **changes)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))


def tiny_keys(depth=1, dim=32, norm="fc_norm"):
    """Names and shapes of a VideoMAE in the original code."""
    shapes = {"patch_embed.proj.weight": [dim, 3, 2, 16, 16], "patch_embed.proj.bias": [dim]}
    for index in range(depth):
        block = {
            "norm1.weight": [dim], "norm1.bias": [dim], "norm2.weight": [dim], "norm2.bias": [dim],
            "attn.q_bias": [dim], "attn.v_bias": [dim], "attn.qkv.weight": [3 * dim, dim],
            "attn.proj.weight": [dim, dim], "attn.proj.bias": [dim], "mlp.fc1.weight": [4 * dim, dim],
            "mlp.fc1.bias": [4 * dim], "mlp.fc2.weight": [dim, 4 * dim], "mlp.fc2.bias": [dim],
        }  # fmt: skip
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    heads = {f"{norm}.weight": [dim], f"{norm}.bias": [dim], "head.weight": [7, dim], "head.bias": [7]}
    return shapes | heads


def as_mmaction2(state):
    names = {"mlp.fc1": "mlp.layers.0.0", "mlp.fc2": "mlp.layers.1", "patch_embed.proj.": "patch_embed.projection."}
    renamed = {"backbone.pos_embed": get_sinusoid_encoding_table(8, 32)}
    for key, tensor in state.items():
        name = key.replace("head.", "cls_head.fc_cls.") if key.startswith("head.") else f"backbone.{key}"
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def test_videomae_equals_the_original(shared, tmp_path):
    state = reference_state(shared / "reference" / "videomae_tiny_keys.json")
    torch.save({"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, tmp_path / "original.pth")
    put_config(tmp_path)
    backbone = load_backbone("videomae", weights=str(tmp_path / "original.pth"))
    expected = np.load(shared / "reference" / "videomae_tiny.npz")
    ours = backbone.features(reference_input(2, 3, 4, 32, 32), ["mean", "fc_norm", "logits"])
    for pool, name in (("mean", "last_block_mean"), ("fc_norm", "forward_features"), ("logits", "logits")):
        np.testing.assert_allclose(ours[pool].numpy(), expected[name], atol=5e-6, rtol=0)


def test_videomae_that_classifies_its_first_token(shared, tmp_path):
    state = reference_state(shared / "reference" / "videomae_tiny_cls_keys.json")
    torch.save({"module": state}, tmp_path / "original.pth")
    put_config(tmp_path, use_mean_pooling=False)
    backbone = load_backbone("videomae", weights=str(tmp_path / "original.pth"))
    assert "fc_norm" not in backbone.pools
    expected = np.load(shared / "reference" / "videomae_tiny_cls.npz")
    ours = backbone.features(reference_input(2, 3, 4, 32, 32), ["tokens", "logits"])
    np.testing.assert_allclose(ours["tokens"][:, 0].numpy(), expected["forward_features"], atol=5e-6, rtol=0)
    np.testing.assert_allclose(ours["logits"].numpy(), expected["logits"], atol=5e-6, rtol=0)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {f"encoder.{k}": v for k, v in s.items()}, as_mmaction2])
def test_every_spelling_of_the_keys_is_one_checkpoint(wrap, tmp_path):
    state = reference_state(tiny_keys())
    put_config(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": wrap(state)}, tmp_path / "other.pth")
    plain = load_backbone("videomae", weights=str(tmp_path / "plain.pth"))
    other = load_backbone("videomae", weights=str(tmp_path / "other.pth"))
    assert other.weights == plain.weights
    assert list(other.pools) == ["mean", "fc_norm", "temporal", "tokens", "logits"]


def test_learned_positions_are_refused(tmp_path):
    state = as_mmaction2(reference_state(tiny_keys()))
    torch.save(state | {"backbone.pos_embed": torch.zeros(1, 1568, 32)}, tmp_path / "learned.pth")
    with pytest.raises(WeightsError, match="have learned positions; VideoMAE has the sine-cosine table"):
        load_backbone("videomae", weights=str(tmp_path / "learned.pth"))
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(WeightsError, match=r"pos_embed is \(1, 8, 32\) instead of \(1, 1568, 32\)"):
        load_backbone("videomae", weights=str(tmp_path / "short.pth"))


def test_config_is_read_off_the_weights(tmp_path):
    values = config_values(convert(reference_state(tiny_keys(depth=2, dim=384, norm="norm"))))
    assert values == {
        "hidden_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "patch_size": 16,
        "tubelet_size": 2,
        "qv_bias": True,
        "use_mean_pooling": False,
        "num_labels": 7,
    }
    torch.save(reference_state(tiny_keys(depth=2, dim=384)), tmp_path / "two.pth")
    backbone = load_backbone("videomae", weights=str(tmp_path / "two.pth"))
    assert backbone.name == "videomae_d384_l2"
    assert backbone._net.module.fc_norm.eps == 1e-6
    assert backbone._net.module.videomae.encoder.layer[0].layernorm_before.eps == 1e-6
    with pytest.raises(WeightsError, match="are videomae_d384_l2, not videomae_base"):
        load_backbone("videomae_base", weights=str(tmp_path / "two.pth"))


def test_published_keys_of_internvideo_are_base(shared):
    shapes = json.loads((shared / "reference" / "videomae_b_k710_keys.json").read_text())
    values = config_values(convert({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}))
    assert (values["hidden_size"], values["num_hidden_layers"], values["num_labels"]) == (768, 12, 710)


def test_unknown_keys_of_an_original_checkpoint_are_listed(tmp_path):
    state = reference_state(tiny_keys() | {"blocks.0.gamma_1": [32]})
    torch.save(state, tmp_path / "gamma.pth")
    with pytest.raises(WeightsError, match=r"1 left over \(blocks.0.gamma_1\)"):
        load_backbone("videomae", weights=str(tmp_path / "gamma.pth"))


def test_small_mvit_equals_slowfast(shared):
    blocks = [(1, 16, 16, 1, 4), (2, 16, 32, 2, 2), (2, 32, 32, 1, 2), (4, 32, 64, 2, 1), (4, 64, 64, 1, 1)]
    net = mvit_v2((64, 64), 8, blocks, num_classes=7).eval()
    state = from_slowfast(reference_state(shared / "reference" / "sf_mvitv2_tiny_keys.json"))
    net.load_state_dict(state)
    with torch.no_grad():
        tokens = _tokens(net, reference_input(2, 3, 8, 64, 64))
        logits = net.head(tokens[:, 0])
    expected = np.load(shared / "reference" / "sf_mvitv2_tiny.npz")
    np.testing.assert_allclose(tokens[:, 0].numpy(), expected["norm_cls"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(tokens[:, 1:].mean(1).numpy(), expected["norm_patch_mean"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(logits.numpy(), expected["logits"], atol=1e-5, rtol=0)


def test_mvit_v2_s_of_slowfast(shared, tmp_path):
    state = reference_state(shared / "reference" / "sf_mvitv2_s_16x4_keys.json")
    torch.save({"model_state": state, "epoch": 200}, tmp_path / "slowfast.pyth")
    backbone = load_backbone("mvit_v2_s", weights=str(tmp_path / "slowfast.pyth"))
    ours = backbone.features(reference_input(1, 3, 16, 224, 224), ["cls", "mean", "logits"])
    expected = np.load(shared / "reference" / "sf_mvitv2_s_16x4.npz")
    for pool, name in (("cls", "norm_cls"), ("mean", "norm_patch_mean"), ("logits", "logits")):
        np.testing.assert_allclose(ours[pool].numpy(), expected[name], atol=1e-5, rtol=0)


def test_mvit_v2_b_has_the_keys_and_shapes_of_slowfast(shared):
    shapes = json.loads((shared / "reference" / "sf_mvitv2_b_32x3_keys.json").read_text())
    converted = from_slowfast({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    with torch.device("meta"):
        wanted = mvit_v2_b().state_dict()
    assert {key: tensor.shape for key, tensor in converted.items()} == {
        key: tensor.shape for key, tensor in wanted.items()
    }
    assert sum(tensor.numel() for tensor in wanted.values()) == pytest.approx(51.2e6, rel=2e-3)


def test_mvit_v1_b_positions_are_reshaped():
    state = {"patch_embed.proj.weight": torch.zeros(1), "cls_token": torch.ones(1, 1, 4)}
    state |= {f"pos_embed_{name}": torch.ones(1, size, 4) for name, size in (("spatial", 9), ("temporal", 2))}
    converted = from_slowfast(state | {"pos_embed_class": torch.ones(1, 1, 4)})
    assert {key: tuple(tensor.shape) for key, tensor in converted.items()} == {
        "conv_proj.weight": (1,),
        "pos_encoding.class_token": (4,),
        "pos_encoding.spatial_pos": (9, 4),
        "pos_encoding.temporal_pos": (2, 4),
        "pos_encoding.class_pos": (4,),
    }


def test_mvit_v2_b_has_to_be_given_as_a_file():
    with pytest.raises(WeightsError, match=r"no weights of mvit_v2_b to download: give --weights SlowFast's MVITv2_B"):
        load_backbone("mvit_v2_b", pretrained_source="kinetics")
