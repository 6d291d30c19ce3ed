from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fouls.errors import ConfigError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.weights import list_names, parse_weights, seeded, weights_sha256
from tests.pipeline.backbones.checkpoints import tiny_checkpoint, video_clip


def test_kinds_of_weights(tmp_path):
    file = tmp_path / "some.pth"
    file.touch()
    assert parse_weights("random:7").random_seed == 7
    assert parse_weights(str(tmp_path)).kind == "folder"
    assert parse_weights(str(file)).path == file
    assert parse_weights("MCG-NJU/videomae-base").kind == "name"
    assert parse_weights("KINETICS400_V1").random_seed is None


@pytest.mark.parametrize("text", ["random", "random:", "random:x", "random:-1", "random:1.5"])
def test_made_up_weights_need_a_seed(text):
    with pytest.raises(WeightsError, match="type random:0"):
        parse_weights(text)


@pytest.mark.parametrize("text", ["/no/such", "./no", "~/no", "no/such.safetensors", "x.pth", ""])
def test_path_without_a_file(text):
    with pytest.raises(WeightsError, match="there is no such file or folder"):
        parse_weights(text)


def test_identity_is_name_dtype_shape_and_bytes_in_the_order_of_the_names():
    state = {"b": torch.tensor([[1, 2]]), "a": torch.tensor(0.5)}
    expected = hashlib.sha256()
    expected.update(b"a\0torch.float32\0()\0" + torch.tensor([0.5]).numpy().tobytes())
    expected.update(b"b\0torch.int64\0(1, 2)\0" + torch.tensor([[1, 2]]).numpy().tobytes())
    assert weights_sha256(state) == expected.hexdigest()
    assert weights_sha256({"b": torch.tensor([[1], [2]]), "a": torch.tensor(0.5)}) != expected.hexdigest()
    transposed = {"b": torch.tensor([[1], [2]]).T, "a": torch.tensor(0.5)}  # not contiguous
    assert weights_sha256(transposed) == expected.hexdigest()


def test_seeded_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(0):
        first = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0):
        assert torch.equal(torch.rand(2), first)


def test_made_up_weights_repeat_and_say_something(tmp_path):
    before = torch.get_rng_state()
    one, same, other = (load_backbone("swin3d_t", weights=f"random:{seed}", num_frames=4) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.weights == same.weights
    assert one.weights.random_seed == 0
    assert one.weights.sha256 != other.weights.sha256
    clip = video_clip(tmp_path, 8)[::2]
    features = one.encode(np.stack([clip, clip[::-1], 255 - clip]))["mean"]
    assert torch.equal(same.encode(clip[None])["mean"], one.encode(clip[None])["mean"])
    cosines = torch.corrcoef(features)[0, 1:]
    assert cosines.max() < 0.99


def test_made_up_weights_have_no_source():
    with pytest.raises(ConfigError, match="are made up: leave pretrained source 'kinetics' out"):
        load_backbone("mvit", weights="random:0", pretrained_source="kinetics")


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


def damaged(folder: Path) -> dict[str, Path]:
    """Files that can't be used, for MViT and (in a folder) for VideoMAE alike."""
    checkpoint = tiny_checkpoint(folder / "whole")
    state = load_file(checkpoint / "model.safetensors")
    whole = (checkpoint / "model.safetensors").read_bytes()
    files = {
        name: folder / name for name in ("cut.safetensors", "junk.pth", "harm.pth", "list.pth", "shape.safetensors")
    }
    files["cut.safetensors"].write_bytes(whole[: len(whole) // 2])
    files["junk.pth"].write_bytes(b"neither zip nor pickle")
    torch.save({"weight": _Harmful()}, files["harm.pth"])
    torch.save([torch.zeros(1)], files["list.pth"])
    shape = state | {"videomae.encoder.layer.0.output.dense.weight": torch.zeros(2, 2)}
    save_file(shape, files["shape.safetensors"], metadata={"format": "pt"})
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.safetensors", "can't be read"),
        ("junk.pth", "can't be read: damaged, or not written by torch.save"),
        ("harm.pth", "hold more than tensors \\(.*mkdir\\), which could run code: refused"),
        ("list.pth", "hold no state dict"),
        ("shape.safetensors", r"layer.0.output.dense.weight is \(2, 2\) instead of \(32, 64\)"),
    ],
)
def test_damaged_files_are_one_line_each(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    path = damaged(tmp_path)[name]
    (tmp_path / "config.json").write_bytes((tmp_path / "whole" / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=message) as caught:
        load_backbone("videomae", weights=str(path))
    assert "\n" not in str(caught.value)
    if name != "shape.safetensors":
        with pytest.raises(WeightsError, match=message):
            load_backbone("mvit", weights=str(path))
    assert not (tmp_path / "harm-was-done").exists()


def test_damaged_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = damaged(tmp_path)
    folder = tiny_checkpoint(tmp_path / "hub")
    weights = folder / "model.safetensors"
    weights.write_bytes(files["cut.safetensors"].read_bytes())
    with pytest.raises(WeightsError, match="can't be read"):
        load_backbone("videomae", weights=str(folder))
    weights.write_bytes(files["shape.safetensors"].read_bytes())
    with pytest.raises(WeightsError, match=r"is \(2, 2\) instead of \(32, 64\)"):
        load_backbone("videomae", weights=str(folder))
    weights.unlink()
    with pytest.raises(WeightsError, match="can't be read: Error no file named model"):
        load_backbone("videomae", weights=str(folder))
    (folder / "pytorch_model.bin").write_bytes(files["harm.pth"].read_bytes())
    with pytest.raises(WeightsError, match="could run code: refused"):
        load_backbone("videomae", weights=str(folder))
    assert not (tmp_path / "harm-was-done").exists()


def test_keys_that_are_missing_or_left_over_are_listed(tmp_path):
    folder = tiny_checkpoint(tmp_path / "hub")
    state = load_file(folder / "model.safetensors")
    del state["videomae.encoder.layer.1.layernorm_after.weight"]
    state["videomae.extra"] = torch.zeros(1)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError) as caught:
        load_backbone("videomae", weights=str(folder))
    assert "1 missing (videomae.encoder.layer.1.layernorm_after.weight) and 1 left over" in str(caught.value)
    torch.save({"conv_proj.weight": torch.zeros(1), "what": torch.zeros(1)}, tmp_path / "mvit.pth")
    with pytest.raises(WeightsError, match=r"missing \(blocks.0.attn.*and \d+ more\) and 1 left over \(what\)"):
        load_backbone("mvit", weights=str(tmp_path / "mvit.pth"))


def test_other_models_config(tmp_path):
    folder = tiny_checkpoint(tmp_path / "hub")
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"model_type": "videomae"', '"model_type": "vit"'))
    with pytest.raises(WeightsError, match="are of a 'vit' model; videomae needs 'videomae'"):
        load_backbone("videomae", weights=str(folder))
    path.write_text("{")
    with pytest.raises(WeightsError, match=r"config.json can't be read"):
        load_backbone("videomae", weights=str(folder))
    path.unlink()
    with pytest.raises(WeightsError, match=r"config.json is missing"):
        load_backbone("videomae", weights=str(folder))


def test_long_lists_are_cut():
    assert list_names(["a", "b", "c"], 2) == "a, b and 1 more"
    assert list_names(["a", "b"], 2) == "a, b"
