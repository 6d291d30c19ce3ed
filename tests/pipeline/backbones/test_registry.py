from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fouls.errors import BackboneError, WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import BACKBONES, BackboneEntry, find_entry, load_builder


def test_every_entry_is_complete():
    for name, entry in BACKBONES.items():
        assert callable(load_builder(entry)), name
        assert next(iter(entry.pools.values())) == (entry.dim,), name
        assert not entry.sources or entry.weights in entry.sources.values(), name
        if entry.alias_of is not None:
            assert BACKBONES[entry.alias_of].alias_of is None
            assert BACKBONES[entry.alias_of].pools == entry.pools


def test_default_weights_of_videomae():
    assert BACKBONES["videomae"].weights == "MCG-NJU/videomae-base-finetuned-kinetics"
    assert BACKBONES["videomae_huge"].weights == "MCG-NJU/videomae-huge-finetuned-kinetics"


def test_listing_needs_nothing_heavy():
    code = "import sys; import fouls.pipeline.backbones.registry; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("typed", "meant"), [("videomea", "videomae"), ("mvit-v2-s", "mvit_v2_s"), ("Swin3D_T", "swin3d_t")]
)
def test_unknown_name_is_answered_with_what_was_meant(typed, meant):
    with pytest.raises(BackboneError, match=rf"no backbone '{typed}' \(did you mean {meant}\?\); there are: videomae,"):
        find_entry(typed)
    with pytest.raises(BackboneError, match=r"no backbone 'xyz'; there are"):
        find_entry("xyz")


@pytest.mark.parametrize("name", ["movinet_a3_stream", "movinet_a4_stream", "movinet_a5_stream_relu6"])
def test_what_there_is_not_is_said_with_the_reason(name):
    with pytest.raises(
        BackboneError, match=rf"no backbone '{name}': .*positional encodings.*never published; there are"
    ):
        find_entry(name)


@pytest.mark.parametrize("name", ["movinet_a0", "movinet_a1_stream", "movinet_a0_stream_relu6"])
def test_movinet_takes_any_number_of_frames(name):
    backbone = load_backbone(name, weights="random:0", num_frames=3)
    dim = BACKBONES[name].dim
    assert (backbone.name, backbone.num_frames) == (name, 3)
    assert backbone.pools == {"pooled": (dim,), "hidden": (2048,), "temporal": (3, dim), "logits": (600,)}
    frames = torch.randint(0, 256, (1, 3, 64, 48, 3), dtype=torch.uint8)
    features = backbone.encode(frames, backbone.pools)
    torch.testing.assert_close(features["pooled"], features["temporal"].mean(1))


def test_adding_a_backbone_as_the_docs_say(monkeypatch, tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "backbones.md").read_text()
    module, line = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "patches.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    entries = eval(
        "{" + line.replace("fouls.pipeline.backbones.patches", "patches") + "}", {"BackboneEntry": BackboneEntry}
    )
    assert list(entries) == ["patches"]
    monkeypatch.setitem(BACKBONES, "patches", entries["patches"])

    made_up = load_backbone("patches", weights="random:0")
    frames = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    (conv,) = made_up._net.module
    expected = conv(frames.permute(0, 4, 1, 2, 3) / 255).mean((2, 3, 4))
    torch.testing.assert_close(made_up.encode(frames)["mean"], expected)

    save_file(made_up._net.module.state_dict(), tmp_path / "patches.safetensors")
    loaded = load_backbone("patches", weights=str(tmp_path / "patches.safetensors"))
    assert loaded.weights.sha256 == made_up.weights.sha256
    assert loaded.weights.random_seed is None
    with pytest.raises(WeightsError, match="no weights of patches to download: give --weights FILE"):
        load_backbone("patches")
