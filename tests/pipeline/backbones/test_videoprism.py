from __future__ import annotations

import pytest
import torch
from transformers import (
    LlavaOnevisionVideoProcessor,
    VideoPrismForVideoClassification,
    VideoPrismVisionConfig,
    VideoPrismVisionModel,
)

from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import assert_same, made_up, save_parts, video_clip

TINY = {
    "hidden_size": 48,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 72,
    "num_frames": 6,
}


def processor(size=72):
    """As it is published, at a quarter of its size."""
    return LlavaOnevisionVideoProcessor(size={"height": size, "width": size}, do_normalize=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videoprism") / "tiny"
    return save_parts(folder, made_up(VideoPrismVisionModel, VideoPrismVisionConfig(**TINY)), processor())


def test_features_equal_transformers(checkpoint, tmp_path):
    frames = video_clip(tmp_path, 6)
    inputs = processor()(torch.from_numpy(frames).permute(0, 3, 1, 2), return_tensors="pt")
    with torch.no_grad():
        tokens = VideoPrismVisionModel.from_pretrained(checkpoint).eval()(**inputs).last_hidden_state
    backbone = load_backbone("videoprism", weights=str(checkpoint))
    assert backbone.name == "videoprism_d48_l2"
    ours = backbone.encode(frames[None], backbone.pools)
    expected = {"mean": tokens.mean(1), "temporal": tokens.reshape(1, 6, 16, 48).mean(2), "tokens": tokens}
    for pool, theirs in expected.items():
        assert ours[pool].shape == (1, *backbone.pools[pool])
        assert_same(ours[pool], theirs)


def test_time_stands_first(checkpoint):
    """A change in one frame moves that frame's step most: tokens of one frame lie together."""
    backbone = load_backbone("videoprism", weights=str(checkpoint))
    frames = torch.full((1, 6, 72, 72, 3), 100, dtype=torch.uint8)
    before = backbone.encode(frames, ["temporal"])["temporal"][0]
    frames[:, 4, :36] = 250
    change = (backbone.encode(frames, ["temporal"])["temporal"][0] - before).norm(dim=1)
    assert change.argmax() == 4


def test_classifier_is_not_part_of_it(checkpoint, tmp_path):
    whole = load_backbone("videoprism", weights=str(checkpoint))
    classifier = made_up(VideoPrismForVideoClassification, VideoPrismVisionConfig(**TINY, num_labels=5), seed=1)
    classifier.vision_model.load_state_dict(VideoPrismVisionModel.from_pretrained(checkpoint).state_dict())
    folder = save_parts(tmp_path / "classifier", classifier)
    loaded = load_backbone("videoprism", weights=str(folder))
    assert loaded.weights == whole.weights
    assert loaded.preprocessing == whole.preprocessing
    assert "stretched to a square of 72" in loaded.notes[0]


def test_what_does_not_fit(checkpoint, tmp_path):
    with pytest.raises(BackboneError, match="videoprism takes 6 frames a clip, not 16"):
        load_backbone("videoprism", weights=str(checkpoint), num_frames=16)
    with pytest.raises(WeightsError, match="are videoprism_d48_l2, not videoprism_b; --backbone videoprism takes any"):
        load_backbone("videoprism_b", weights=str(checkpoint))
    other = save_parts(tmp_path / "other", VideoPrismVisionModel.from_pretrained(checkpoint), processor(size=36))
    with pytest.raises(WeightsError, match="crops to 36 pixels, the net takes 72"):
        load_backbone("videoprism", weights=str(other))
