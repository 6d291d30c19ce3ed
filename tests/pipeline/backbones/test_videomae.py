from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEImageProcessor,
    VideoMAEModel,
)

from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.families import resolved_name
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import BACKBONES
from fouls.pipeline.backbones.videomae import FAMILY
from tests.pipeline.backbones.checkpoints import (
    HUB_PROCESSOR,
    made_up,
    read_clip,
    save,
    tiny_checkpoint,
    tiny_config,
    video_clip,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch_dtype.*")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("videomae") / "tiny")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return load_backbone("videomae", weights=str(checkpoint))


def reference(folder, frames, model_class=VideoMAEModel):
    """What transformers computes from the same frames: processor and model from the checkpoint's folder."""
    processor = VideoMAEImageProcessor.from_pretrained(folder)
    inputs = processor(list(frames), return_tensors="pt", input_data_format="channels_last")
    model = model_class.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**inputs)


def cosine(ours, theirs):
    return torch.cosine_similarity(ours.double().flatten(1), theirs.double().flatten(1)).min().item()


def test_features_equal_transformers(checkpoint, tiny, tmp_path):
    frames = video_clip(tmp_path, 8)
    hidden = reference(checkpoint, frames).last_hidden_state  # (1, 64, 32)
    logits = reference(checkpoint, frames, VideoMAEForVideoClassification).logits
    ours = tiny.encode(frames[None], ["mean", "temporal", "tokens", "fc_norm", "logits"])
    classifier = VideoMAEForVideoClassification.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        fc_norm = classifier.fc_norm(hidden.mean(1))
    expected = {
        "mean": hidden.mean(1),
        "temporal": hidden.reshape(1, 4, 16, 32).mean(2),
        "tokens": hidden,
        "fc_norm": fc_norm,
        "logits": logits,
    }
    for pool, theirs in expected.items():
        assert ours[pool].shape == theirs.shape == (1, *tiny.pools[pool])
        assert cosine(ours[pool], theirs) >= 0.9999999
        # The same operations on the same numbers: no difference was seen where the number of threads is the same.
        assert (ours[pool] - theirs).abs().max() <= 1e-6


def test_base_equals_transformers_on_a_clip(tmp_path):
    frames = video_clip(tmp_path, 16, height=240, width=320)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VideoMAEForVideoClassification(VideoMAEConfig(num_labels=400)).eval()
    processor = VideoMAEImageProcessor(**HUB_PROCESSOR)
    with torch.no_grad():
        theirs = model.videomae(**processor(list(frames), return_tensors="pt")).last_hidden_state.mean(1)
    backbone = load_backbone("videomae", weights="random:0")
    assert backbone.name == "videomae_base"
    assert backbone.pools == BACKBONES["videomae_base"].pools
    ours = backbone.encode(frames[None])["mean"]
    assert cosine(ours, theirs) >= 0.9999999
    assert (ours - theirs).abs().max() <= 2e-6 * theirs.abs().max()


def test_features_equal_transformers_on_a_real_clip(checkpoint, tiny, shared):
    indices = np.linspace(0, 80, 8).astype(int)
    frames = read_clip(shared / "videos" / "carving_ice.mp4", indices)
    theirs = reference(checkpoint, frames).last_hidden_state.mean(1)
    ours = tiny.encode(frames[None])["mean"]
    assert cosine(ours, theirs) >= 0.9999999
    assert (ours - theirs).abs().max() <= 1e-6


def test_names_do_not_lie(tiny):
    assert tiny.name == "videomae_d32_l2"
    for name, size in FAMILY.sizes.items():
        config = VideoMAEConfig(**size)
        assert resolved_name(FAMILY, config) == name
        assert BACKBONES[name].dim == config.hidden_size
    assert resolved_name(FAMILY, VideoMAEConfig(num_attention_heads=6)) == "videomae_d768_l12"


def test_size_that_was_asked_for_must_be_the_checkpoints(checkpoint):
    with pytest.raises(WeightsError, match=r"are videomae_d32_l2, not videomae_large; --backbone videomae takes any"):
        load_backbone("videomae_large", weights=str(checkpoint))


def test_pretraining_checkpoint_has_a_final_norm_and_no_heads(tmp_path):
    model = made_up(VideoMAEForPreTraining, tiny_config(use_mean_pooling=False, decoder_num_hidden_layers=1))
    folder = save(model, tmp_path / "pretraining")
    backbone = load_backbone("videomae", weights=str(folder))
    assert list(backbone.pools) == ["mean", "temporal", "tokens"]
    frames = video_clip(tmp_path, 8)
    theirs = reference(folder, frames).last_hidden_state
    assert (backbone.encode(frames[None], ["tokens"])["tokens"] - theirs).abs().max() <= 1e-6
    with pytest.raises(BackboneError, match=r"has no pool 'fc_norm'; it has mean, temporal, tokens"):
        backbone.check_pools(["fc_norm"])


def test_legacy_names_of_the_hub_are_renamed(checkpoint, tiny, tmp_path):
    state = {
        name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): tensor
        for name, tensor in VideoMAEForVideoClassification.from_pretrained(checkpoint).state_dict().items()
    }
    folder = tiny_checkpoint(tmp_path / "legacy")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert sum(name.endswith("q_bias") for name in load_file(folder / "model.safetensors")) == 2
    assert load_backbone("videomae", weights=str(folder)).weights == tiny.weights
    single = load_backbone("videomae", weights=str(folder / "model.safetensors"))
    assert single.weights == tiny.weights


def test_identity_is_that_of_the_tensors(checkpoint, tiny, tmp_path):
    folder = tiny_checkpoint(tmp_path / "pickled")
    torch.save(load_file(checkpoint / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert load_backbone("videomae", weights=str(folder)).weights == tiny.weights
    other = save(made_up(VideoMAEForVideoClassification, tiny_config(), seed=1), tmp_path / "other")
    assert load_backbone("videomae", weights=str(other)).weights != tiny.weights


def test_preprocessing_of_the_checkpoint_is_honoured(tmp_path):
    processor = {
        "size": {"height": 80, "width": 80},
        "crop_size": 64,
        "resample": 3,
        "rescale_factor": 1 / 127.5,
        "image_mean": [1, 1, 1],
        "image_std": [1, 0.5, 1],
    }
    folder = save(made_up(VideoMAEForVideoClassification, tiny_config()), tmp_path / "own", processor)
    backbone = load_backbone("videomae", weights=str(folder))
    assert backbone.notes == ()
    frames = video_clip(tmp_path, 8)
    inputs = VideoMAEImageProcessor(**processor | {"crop_size": {"height": 64, "width": 64}})
    expected = inputs(list(frames), return_tensors="pt")["pixel_values"].transpose(1, 2)
    assert torch.equal(backbone.preprocess(frames[None]), expected)


def test_missing_preprocessing_is_said(checkpoint, tmp_path):
    folder = tiny_checkpoint(tmp_path / "bare")
    (folder / "preprocessor_config.json").unlink()
    backbone = load_backbone("videomae", weights=str(folder))
    assert backbone.preprocessing == load_backbone("videomae", weights=str(checkpoint)).preprocessing
    assert "has no preprocessor_config.json" in backbone.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": None}, "no 'image_mean'"),
        ({"crop_size": {"height": 32, "width": 32}}, "crops to 32 pixels, the net takes 64"),
        ({"size": {"shortest_edge": 32}}, "crop is 64; it must not be greater than resize_to, 32"),
        ({"size": {"height": 64, "width": 80}}, "the size is 64 × 80; it must be square"),
        ({"do_resize": False}, "do_resize is false"),
        ({"do_center_crop": False}, "do_center_crop is false"),
        ({"resample": 1}, "no 1"),
    ],
)
def test_preprocessing_that_can_not_be_followed(tmp_path, change, message):
    folder = tiny_checkpoint(tmp_path / "odd")
    path = folder / "preprocessor_config.json"
    plain = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in plain.items() if value is not None}))
    with pytest.raises(WeightsError, match=message):
        load_backbone("videomae", weights=str(folder))


def test_position_embedding_is_moved_once(checkpoint, tmp_path):
    backbone = load_backbone("videomae", weights=str(checkpoint), precision="bf16")
    embeddings = backbone._net.module.videomae.embeddings
    assert embeddings.position_embeddings.dtype == torch.float32
    frames = video_clip(tmp_path, 8)
    backbone.encode(frames[None])
    moved = embeddings.position_embeddings
    assert moved.dtype == torch.bfloat16
    backbone.encode(frames[None])
    assert embeddings.position_embeddings is moved


def test_other_number_of_frames_is_refused(checkpoint):
    with pytest.raises(BackboneError, match="videomae takes 8 frames a clip, not 16"):
        load_backbone("videomae", weights=str(checkpoint), num_frames=16)
    assert load_backbone("videomae", weights=str(checkpoint), num_frames=8).num_frames == 8


def test_file_of_the_published_size_needs_no_config(tmp_path):
    save_file({"videomae.x": torch.zeros(1)}, tmp_path / "loose.safetensors")
    with pytest.raises(WeightsError, match=r"don't fit: keys 18\d missing \(.*\) and 1 left over \(.*x\)"):
        load_backbone("videomae_small", weights=str(tmp_path / "loose.safetensors"))
