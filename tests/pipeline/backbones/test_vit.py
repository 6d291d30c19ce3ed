from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, ViTModel

from fouls.errors import WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import assert_same, made_up, save_parts, video_clip

DIM, LAYERS, SIZE = 128, 2, 64
AUGREG = {
    "architecture": "vit_tiny_test",
    "num_classes": 5,
    "num_features": DIM,
    "global_pool": "token",
    "pretrained_cfg": {
        "tag": "augreg_in21k_ft_in1k",
        "input_size": [3, SIZE, SIZE],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
}
"""``config.json`` as timm writes it."""


def timm_state(dim=DIM, layers=LAYERS, size=SIZE):
    """Names and shapes of a ViT in timm."""
    shapes = {
        "cls_token": (1, 1, dim), "pos_embed": (1, 1 + (size // 16) ** 2, dim), "norm.weight": (dim,),
        "norm.bias": (dim,), "patch_embed.proj.weight": (dim, 3, 16, 16), "patch_embed.proj.bias": (dim,),
        "head.weight": (5, dim), "head.bias": (5,),
    }  # fmt: skip
    for index in range(layers):
        block = {
            "norm1.weight": (dim,), "norm1.bias": (dim,), "norm2.weight": (dim,), "norm2.bias": (dim,),
            "attn.qkv.weight": (3 * dim, dim), "attn.qkv.bias": (3 * dim,), "attn.proj.weight": (dim, dim),
            "attn.proj.bias": (dim,), "mlp.fc1.weight": (4 * dim, dim), "mlp.fc1.bias": (4 * dim,),
            "mlp.fc2.weight": (dim, 4 * dim), "mlp.fc2.bias": (dim,),
        }  # fmt: skip
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    generator = torch.Generator().manual_seed(0)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def timm_forward(state, images):
    """timm's ``VisionTransformer`` up to its classifier, written out: (B, 3, S, S) → (B, D)."""

    def norm(x, name):
        return F.layer_norm(x, (DIM,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    patches = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16)
    x = torch.cat([state["cls_token"].expand(len(images), -1, -1), patches.flatten(2).mT], 1) + state["pos_embed"]
    for block in (f"blocks.{index}" for index in range(LAYERS)):
        qkv = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").unflatten(2, (3, DIM // 64, 64))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, 64) each
        weights = (query @ key.mT / 8).softmax(-1)
        x = x + linear((weights @ value).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


@pytest.fixture(scope="module")
def augreg(tmp_path_factory):
    """A folder as timm has it on the hub."""
    folder = tmp_path_factory.mktemp("vit")
    save_file(timm_state(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(AUGREG))
    return folder


def test_equals_timm(augreg, tmp_path):
    backbone = load_backbone("vit", weights=str(augreg), num_frames=6)
    frames = video_clip(tmp_path, 6)
    x = backbone.preprocess(frames[None])
    theirs = timm_forward(timm_state(), x[0].transpose(0, 1))[None]
    ours = backbone.features(x, backbone.pools)
    assert_same(ours["temporal"], theirs)
    assert_same(ours["mean"], theirs.mean(1))
    assert backbone.name == "vit_d128_l2"


@pytest.mark.parametrize("size", [(90, 122), (91, 120), (200, 77)])
def test_input_equals_timms_transforms(augreg, size):
    """timm resizes with PIL, which rounds its filter's weights otherwise than torch: two levels of 256 at most."""
    backbone = load_backbone("vit", weights=str(augreg), num_frames=1)
    smooth = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize(size[::-1], Image.Resampling.BICUBIC)
    steps = [transforms.Resize(71, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(64)]
    half = (0.5, 0.5, 0.5)
    expected = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(half, half)])(image)
    ours = backbone.preprocess(np.asarray(image)[None, None].copy())[0, :, 0]
    levels = (ours - expected).abs() * 255 / 2
    assert levels.max() < 2.01
    assert levels.mean() < 0.5


def test_timms_file_alone(augreg, tmp_path):
    whole = load_backbone("vit", weights=str(augreg))
    assert load_backbone("vit", weights=str(augreg / "model.safetensors")).weights == whole.weights
    torch.save(timm_state(), tmp_path / "vit.pth")
    alone = load_backbone("vit", weights=str(tmp_path / "vit.pth"))
    assert alone.weights == whole.weights
    assert alone.preprocessing == whole.preprocessing


def test_augreg_is_what_timm_calls_so(tmp_path):
    """A net of AugReg's shape with another history has another name."""
    state = timm_state(dim=768, layers=12, size=224)
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(AUGREG))
    assert load_backbone("vit_b_augreg", weights=str(tmp_path)).name == "vit_b_augreg"
    (tmp_path / "config.json").write_text(json.dumps(AUGREG | {"pretrained_cfg": {"tag": "orig_in21k"}}))
    assert load_backbone("vit", weights=str(tmp_path)).name == "vit_b_16"
    with pytest.raises(WeightsError, match=r"are vit_b_16, not vit_b_augreg.*--backbone vit takes any ViT"):
        load_backbone("vit_b_augreg", weights=str(tmp_path))


def test_equals_transformers(tmp_path):
    config = ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=64, num_labels=5
    )
    model = made_up(ViTForImageClassification, config)
    processor = ViTImageProcessor(size={"height": 64, "width": 64})
    folder = save_parts(tmp_path / "hub", model, processor)
    frames = video_clip(tmp_path, 4)
    with torch.no_grad():
        theirs = model.vit(**processor(list(frames), return_tensors="pt")).last_hidden_state[None, :, 0]
    backbone = load_backbone("vit", weights=str(folder), num_frames=4)
    assert backbone.preprocessing.resize == "stretch"
    assert_same(backbone.encode(frames[None], ["temporal"])["temporal"], theirs)
    pooled = save_parts(tmp_path / "pooled", made_up(ViTModel, config), processor)  # a pooler that is not used
    assert backbone.weights.sha256 != load_backbone("vit", weights=str(pooled)).weights.sha256
    assert not any("pooler" in key for key in load_backbone("vit", weights=str(pooled))._net.module.state_dict())
    with pytest.raises(WeightsError, match="are vit_d48_l2, not vit_b_augreg; --backbone vit takes any size"):
        load_backbone("vit_b_augreg", weights=str(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_mode": "border"}, "crop_mode is 'border'; allowed: center"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; allowed: bicubic, bilinear"),
    ],
)
def test_timms_preprocessing_that_can_not_be_followed(augreg, tmp_path, config, message):
    (tmp_path / "model.safetensors").write_bytes((augreg / "model.safetensors").read_bytes())
    plain = AUGREG | {"pretrained_cfg": AUGREG["pretrained_cfg"] | config}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    with pytest.raises(WeightsError, match=message):
        load_backbone("vit", weights=str(tmp_path))


def test_timms_folder_without_weights(augreg, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(AUGREG))
    with pytest.raises(WeightsError, match=r"has none of model.safetensors, pytorch_model.bin"):
        load_backbone("vit", weights=str(tmp_path))


def test_unknown_keys_are_listed(tmp_path):
    torch.save(timm_state() | {"reg_token": torch.zeros(1, 4, DIM)}, tmp_path / "registers.pth")
    with pytest.raises(WeightsError, match=r"1 left over \(reg_token\)"):
        load_backbone("vit", weights=str(tmp_path / "registers.pth"))
