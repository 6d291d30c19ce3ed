from __future__ import annotations

import shutil
import time

import pytest
from huggingface_hub import constants

from fouls.errors import WeightsError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import tiny_checkpoint


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, and a hub at an address where nobody listens."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "cache"


def put(cache, hub_id, folder):
    """Fill the cache as the hub's own client does."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    shutil.copytree(folder, repository / "snapshots" / "0123abc")


def test_hub_out_of_reach_is_one_line_and_soon(cache):
    start = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        load_backbone("videomae")
    assert time.perf_counter() - start < 20
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("weights 'MCG-NJU/videomae-base-finetuned-kinetics' are not in the hub's cache and can't")
    assert "--weights FOLDER" in message
    assert "HF_HOME" in message
    assert "--weights random:0" in message


def test_checkpoint_in_the_cache_needs_no_hub(cache, tmp_path):
    folder = tiny_checkpoint(tmp_path / "tiny")
    put(cache, "someone/tiny", folder)
    cached = load_backbone("videomae", weights="someone/tiny")
    assert cached.weights == load_backbone("videomae", weights=str(folder)).weights
    assert cached.notes == ()


def test_checkpoint_half_in_the_cache(cache, tmp_path):
    folder = tiny_checkpoint(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    put(cache, "someone/half", folder)
    with pytest.raises(WeightsError, match="'someone/half': neither the hub nor its cache here has"):
        load_backbone("videomae", weights="someone/half")


@pytest.mark.parametrize("text", ["videomae-base", "a/b/c"])
def test_what_is_no_hub_id(text):
    with pytest.raises(WeightsError, match=r"are no folder, no file and no hub id \(ORG/NAME\)"):
        load_backbone("videomae", weights=text)
