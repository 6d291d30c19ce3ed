from __future__ import annotations

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2ForVideoClassification, VJEPA2Model, VJEPA2VideoProcessor

from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import assert_same, made_up, save_parts, video_clip

TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "crop_size": 64,
    "frames_per_clip": 8,
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
    "num_pooler_layers": 1,
}
CROP = {"crop_size": {"height": 64, "width": 64}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vjepa2") / "tiny"
    return save_parts(folder, made_up(VJEPA2Model, VJEPA2Config(**TINY)), VJEPA2VideoProcessor(**CROP))


def reference(folder, frames):
    """The encoder's tokens, (1, N, D), by transformers alone."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    inputs = VJEPA2VideoProcessor.from_pretrained(folder)(video, return_tensors="pt")
    with torch.no_grad():
        return VJEPA2Model.from_pretrained(folder).eval()(**inputs, skip_predictor=True).last_hidden_state


@pytest.mark.parametrize("num_frames", [None, 4, 10])
def test_features_equal_transformers(checkpoint, num_frames, tmp_path):
    backbone = load_backbone("vjepa2", weights=str(checkpoint), num_frames=num_frames)
    count = num_frames or 8
    assert (backbone.num_frames, backbone.notes) == (count, ())
    assert (backbone.preprocessing.resize_to, backbone.preprocessing.crop) == (73, 64)
    frames = video_clip(tmp_path, count)
    tokens = reference(checkpoint, frames)
    ours = backbone.encode(frames[None], backbone.pools)
    expected = {
        "mean": tokens.mean(1),
        "temporal": tokens.reshape(1, count // 2, 16, 48).mean(2),
        "tokens": tokens,
    }
    assert list(ours) == list(expected)
    for pool, theirs in expected.items():
        assert ours[pool].shape == (1, *backbone.pools[pool])
        assert_same(ours[pool], theirs)


def test_predictor_and_classifier_are_not_part_of_it(checkpoint, tmp_path):
    whole = load_backbone("vjepa2", weights=str(checkpoint))
    assert whole.name == "vjepa2_d48_l2"
    assert {key.split(".")[0] for key in whole._net.module.state_dict()} == {"encoder"}
    classifier = made_up(VJEPA2ForVideoClassification, VJEPA2Config(**TINY, num_labels=5), seed=1)
    classifier.vjepa2.encoder.load_state_dict(VJEPA2Model.from_pretrained(checkpoint).encoder.state_dict())
    folder = save_parts(tmp_path / "classifier", classifier, VJEPA2VideoProcessor(**CROP))
    assert load_backbone("vjepa2", weights=str(folder)).weights == whole.weights
    assert load_backbone("vjepa2", weights=str(folder / "model.safetensors")).weights == whole.weights


def test_preprocessing_of_the_published_checkpoints(checkpoint, tmp_path):
    folder = save_parts(tmp_path / "bare", VJEPA2Model.from_pretrained(checkpoint))
    bare = load_backbone("vjepa2", weights=str(folder))
    assert "has no preprocessor_config.json: frames are prepared as for the published" in bare.notes[0]
    assert bare.preprocessing == load_backbone("vjepa2", weights=str(checkpoint)).preprocessing


@pytest.mark.parametrize("num_frames", [0, 7])
def test_frames_come_in_twos(checkpoint, num_frames):
    with pytest.raises(BackboneError, match=f"vjepa2 takes a multiple of 2 frames a clip, not {num_frames}"):
        load_backbone("vjepa2", weights=str(checkpoint), num_frames=num_frames)


def test_size_that_was_asked_for(checkpoint, tmp_path):
    with pytest.raises(WeightsError, match="are vjepa2_d48_l2, not vjepa2_l; --backbone vjepa2 takes any size"):
        load_backbone("vjepa2_l", weights=str(checkpoint))
    other = save_parts(
        tmp_path / "other",
        VJEPA2Model.from_pretrained(checkpoint),
        VJEPA2VideoProcessor(crop_size={"height": 32, "width": 32}),
    )
    with pytest.raises(WeightsError, match="crops to 32 pixels, the net takes 64"):
        load_backbone("vjepa2", weights=str(other))


def test_half_precision_keeps_the_features(checkpoint, tmp_path):
    frames = video_clip(tmp_path, 8)[None]
    exact = load_backbone("vjepa2", weights=str(checkpoint)).encode(frames)["mean"]
    half = load_backbone("vjepa2", weights=str(checkpoint), precision="bf16").encode(frames)["mean"]
    assert half.dtype == torch.float32
    assert torch.cosine_similarity(half, exact).item() > 0.999
