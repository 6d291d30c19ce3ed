from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitImageProcessor, Dinov2Config, Dinov2ForImageClassification, Dinov2Model

from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import assert_same, made_up, save_parts, video_clip

TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 70}
PROCESSOR = {
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 56, "width": 56},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
"""As the published one, at a quarter of its size."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2") / "tiny"
    return save_parts(folder, made_up(Dinov2Model, Dinov2Config(**TINY)), BitImageProcessor(**PROCESSOR))


def reference(folder, frames):
    """The class tokens of the frames, (T, D), by transformers alone."""
    inputs = BitImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")
    with torch.no_grad():
        return Dinov2Model.from_pretrained(folder).eval()(**inputs).last_hidden_state[:, 0]


@pytest.mark.parametrize("num_frames", [16, 5])
def test_features_equal_transformers(checkpoint, num_frames, tmp_path):
    frames = video_clip(tmp_path, num_frames)
    theirs = reference(checkpoint, frames)[None]
    chosen = None if num_frames == 16 else num_frames
    backbone = load_backbone("dinov2", weights=str(checkpoint), num_frames=chosen)
    assert backbone.notes == ()
    assert backbone.pools == {"mean": (48,), "temporal": (num_frames, 48)}
    ours = backbone.encode(frames[None], backbone.pools)
    assert_same(ours["temporal"], theirs)
    assert_same(ours["mean"], theirs.mean(1))


def test_every_format_of_the_hub_is_one_checkpoint(checkpoint, tmp_path):
    """A folder, a file beside its config, a classifier's folder: the trunk is the same."""
    whole = load_backbone("dinov2", weights=str(checkpoint))
    assert whole.name == "dinov2_d48_l2"
    assert load_backbone("dinov2", weights=str(checkpoint / "model.safetensors")).weights == whole.weights
    classifier = made_up(Dinov2ForImageClassification, Dinov2Config(**TINY))
    classifier.dinov2.load_state_dict(Dinov2Model.from_pretrained(checkpoint).state_dict())
    folder = save_parts(tmp_path / "classifier", classifier)
    loaded = load_backbone("dinov2", weights=str(folder))
    assert loaded.weights == whole.weights
    assert "has no preprocessor_config.json" in loaded.notes[0]
    assert (loaded.preprocessing.resize_to, loaded.preprocessing.crop) == (256, 224)
    assert loaded.preprocessing.interpolation == "bicubic"


def test_size_and_frames_that_were_asked_for(checkpoint):
    with pytest.raises(WeightsError, match="are dinov2_d48_l2, not dinov2_s; --backbone dinov2 takes any size"):
        load_backbone("dinov2_s", weights=str(checkpoint))
    with pytest.raises(BackboneError, match="dinov2 takes 1 frame a clip or more, not 0"):
        load_backbone("dinov2", weights=str(checkpoint), num_frames=0)


def test_weights_that_do_not_fit(checkpoint, tmp_path):
    state = load_file(checkpoint / "model.safetensors")
    folder = save_parts(tmp_path, Dinov2Config(**TINY))
    save_file({key: tensor for key, tensor in state.items() if "layernorm" not in key}, folder / "cut.safetensors")
    with pytest.raises(WeightsError, match=r"2 missing \(layernorm.bias, layernorm.weight\)"):
        load_backbone("dinov2", weights=str(folder / "cut.safetensors"))


def test_published_sizes():
    small = load_backbone("dinov2_s", weights="random:0")
    assert small.name == "dinov2_s"
    assert sum(tensor.numel() for tensor in small._net.module.parameters()) == pytest.approx(22.1e6, rel=5e-3)
