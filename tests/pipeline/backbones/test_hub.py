from __future__ import annotations

import time

import pytest

from fouls.errors import WeightsError, WeightsUnavailableError
from fouls.pipeline.backbones.loading import load_backbone
from tests.pipeline.backbones.checkpoints import tiny_checkpoint
from tests.pipeline.backbones.hub_cache import cache, put

__all__ = ["cache"]


def test_hub_out_of_reach_is_one_line_and_soon(cache):
    start = time.perf_counter()
    with pytest.raises(WeightsUnavailableError) as caught:
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
    with pytest.raises(WeightsUnavailableError, match="'someone/half': neither the hub nor its cache here has"):
        load_backbone("videomae", weights="someone/half")


@pytest.mark.parametrize("text", ["videomae-base", "a/b/c"])
def test_what_is_no_hub_id(text):
    with pytest.raises(WeightsError, match=r"are no folder, no file and no hub id \(ORG/NAME\)"):
        load_backbone("videomae", weights=text)
