"""Video classifiers of transformers that nothing is known of but their checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from huggingface_hub import constants
from transformers import AutoModelForVideoClassification

from fouls.errors import BackboneError, WeightsError, WeightsUnavailableError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import find_entry
from tests.pipeline.backbones.checkpoints import assert_same, made_up, save_parts, video_clip

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96, "num_labels": 5}
SIZES = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
SQUARE = {"size": {"height": 36, "width": 36}, "do_normalize": False}
CONFIGS = {
    "Timesformer": {**SMALL, "image_size": 32, "num_frames": 4},
    "Vivit": {**SMALL, "image_size": 32, "num_frames": 4},
    "VideoMAE": {**SMALL, "image_size": 32, "num_frames": 4},
    "VJEPA2": {
        **{key: value for key, value in SMALL.items() if key != "intermediate_size"},
        "crop_size": 32,
        "frames_per_clip": 4,
        "num_pooler_layers": 1,
        "num_attention_heads": 2,
        "pred_hidden_size": 24,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
    },
    "VideoPrism": {
        **{key: value for key, value in SMALL.items() if key != "num_hidden_layers"},
        "num_spatial_layers": 2,
        "num_temporal_layers": 1,
        "image_size": 36,
        "num_frames": 4,
    },
}
CONFIG_CLASSES = {name: f"{name}{'Vision' if name == 'VideoPrism' else ''}Config" for name in CONFIGS}
CLASS_TOKEN = {"Timesformer", "Vivit"}


def processor_of(name):
    if name == "VideoPrism":
        return transformers.LlavaOnevisionVideoProcessor(**SQUARE)
    if name == "VJEPA2":
        return transformers.VJEPA2VideoProcessor(crop_size={"height": 32, "width": 32})
    return getattr(transformers, f"{name}VideoProcessor")(**SIZES)


def model_of(name, **changes):
    config = getattr(transformers, CONFIG_CLASSES[name])(**(CONFIGS[name] | changes))
    return made_up(getattr(transformers, f"{name}ForVideoClassification"), config)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    return {name: save_parts(folder / name, model_of(name), processor_of(name)) for name in CONFIGS}


def reference(folder, processor, frames):
    """Tokens of the trunk, and logits, by transformers alone."""
    model = AutoModelForVideoClassification.from_pretrained(folder).eval()
    kept = []
    model.base_model.register_forward_hook(lambda module, inputs, output: kept.append(output[0]))
    inputs = processor(torch.from_numpy(frames).permute(0, 3, 1, 2), return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    return kept[0], logits.flatten(1)


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_transformers_with_its_own_processor(name, checkpoints, tmp_path):
    frames = video_clip(tmp_path, 4)
    tokens, logits = reference(checkpoints[name], processor_of(name), frames)
    expected = {"mean": tokens.mean(1), "tokens": tokens, "logits": logits}
    if name in CLASS_TOKEN:
        expected = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(1), "tokens": tokens, "logits": logits}
    backbone = load_backbone(f"hf:{checkpoints[name]}")
    assert backbone.num_frames == 4
    assert list(backbone.pools) == list(expected)
    ours = backbone.encode(frames[None], backbone.pools)
    for pool, theirs in expected.items():
        assert ours[pool].shape == (1, *backbone.pools[pool])
        assert_same(ours[pool], theirs)


def test_names_say_what_was_loaded(checkpoints):
    names = {name: load_backbone(f"hf:{folder}").name for name, folder in checkpoints.items()}
    assert names == {
        "Timesformer": "timesformer_d48_l2",
        "Vivit": "vivit_d48_l2",
        "VideoMAE": "videomae_d48_l2",
        "VJEPA2": "vjepa2_d48_l2",
        "VideoPrism": "videoprism_vision_model_d48",
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_stay_in_fp32(name, checkpoints, tmp_path):
    frames = video_clip(tmp_path, 4)[None]
    exact = load_backbone(f"hf:{checkpoints[name]}").encode(frames, ["logits"])["logits"]
    half = load_backbone(f"hf:{checkpoints[name]}", precision="bf16").encode(frames, ["logits"])["logits"]
    assert half.dtype == torch.float32
    assert torch.cosine_similarity(half, exact).item() > 0.99
    assert not torch.equal(half, exact)


def test_trunk_without_its_heads(checkpoints, tmp_path):
    trunk = save_parts(tmp_path / "trunk", model_of("Timesformer").base_model, processor_of("Timesformer"))
    backbone = load_backbone(f"hf:{trunk}")
    assert list(backbone.pools) == ["cls", "mean", "tokens"]
    frames = video_clip(tmp_path, 4)[None]
    whole = load_backbone(f"hf:{checkpoints['Timesformer']}")
    assert torch.equal(backbone.encode(frames)["cls"], whole.encode(frames)["cls"])


def test_made_up_weights_of_its_shape(checkpoints):
    one, same, other = (load_backbone(f"hf:{checkpoints['Vivit']}", weights=f"random:{seed}") for seed in (0, 0, 1))
    assert one.pools == load_backbone(f"hf:{checkpoints['Vivit']}").pools
    assert one.weights == same.weights
    assert one.weights.sha256 != other.weights.sha256
    assert one.weights.random_seed == 0


def test_other_frames_are_refused(checkpoints):
    """TimeSformer would run on six, and take its own four for the stride of time."""
    with pytest.raises(BackboneError, match=r"hf:.*Timesformer takes 4 frames a clip, not 6"):
        load_backbone(f"hf:{checkpoints['Timesformer']}", num_frames=6)
    assert load_backbone(f"hf:{checkpoints['Timesformer']}", num_frames=4).num_frames == 4


def test_what_does_not_fit_together(tmp_path):
    bare = save_parts(tmp_path / "bare", model_of("VideoMAE"))
    with pytest.raises(BackboneError, match=r"bare has no preprocessor_config.json: it has to say how frames"):
        load_backbone(f"hf:{bare}")
    other = save_parts(tmp_path / "other", model_of("Timesformer", image_size=64), processor_of("Timesformer"))
    with pytest.raises(WeightsError, match="other: its processor crops to 32 pixels, the net takes 64"):
        load_backbone(f"hf:{other}")
    odd = save_parts(tmp_path / "odd", model_of("Vivit"), processor_of("Vivit"))
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"tubelet_size": [8, 16, 16]}))
    with pytest.raises(BackboneError, match=r"odd does not take 4 frames of 32 × 32: "):
        load_backbone(f"hf:{odd}")


def test_other_models(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        BackboneError, match=r"is a 'bert' model, of which .* no video classifier; it has: timesformer,"
    ):
        load_backbone(f"hf:{tmp_path}")


def test_what_names_no_checkpoint(checkpoints):
    with pytest.raises(BackboneError, match=r"'hf:' names no checkpoint: type hf:ORG/NAME or hf:FOLDER"):
        find_entry("hf:")
    with pytest.raises(WeightsError, match=r"config.json' of hf:.*: give a folder in the hub's format, or a hub id"):
        load_backbone(f"hf:{checkpoints['Vivit'] / 'config.json'}")
    with pytest.raises(WeightsError, match=r"no hub id \(ORG/NAME\)"):
        load_backbone("hf:nowhere")


def test_a_copy_in_place_of_what_is_out_of_reach(checkpoints, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WeightsUnavailableError, match=r"'some/vivit' are not in the hub's cache.*--weights FOLDER"):
        load_backbone("hf:some/vivit")
    copied = load_backbone("hf:some/vivit", weights=str(checkpoints["Vivit"]))
    assert copied.weights == load_backbone(f"hf:{checkpoints['Vivit']}").weights
    with pytest.raises(
        WeightsUnavailableError, match=r"only its config.json tells the shape that made-up weights need"
    ):
        load_backbone("hf:some/vivit", weights="random:0")
