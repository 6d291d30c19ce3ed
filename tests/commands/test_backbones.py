from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import typer
from transformers import VideoMAEForVideoClassification
from typer.testing import CliRunner

from fouls.commands.backbones import backbones
from fouls.errors import BackboneError, ConfigError
from fouls.pipeline.backbones.registry import BACKBONES
from tests.pipeline.backbones.checkpoints import tiny_checkpoint

app = typer.Typer()
app.command()(backbones)


def run(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_has_every_backbone():
    text = run()
    for name in BACKBONES:
        assert name in text
    assert "videomae is videomae_base" in text
    assert "KINETICS400_IMAGENET22K_V1" in text


def test_one_in_full():
    text = run("swin3d_b")
    assert "mean (1024), temporal (16 × 1024), logits (400)" in text
    assert "KINETICS400_V1 (--pretrained-source kinetics)" in text
    assert "SlowFast's MVITv2_B_32x3 (.pyth) (--pretrained-source kinetics)" in run("mvit_v2_b")
    assert "CC BY-NC 4.0" in run("videomae")


def test_one_has_its_size_and_its_clips():
    text = run("mvit_v1_b")
    assert re.search(r"parameters\s+│ 36\.6 M", text)
    assert re.search(r"multiply-adds a clip\s+│ 70\.6 G", text)
    assert (
        "uniform (the default): 16 frames; a span of 75 frames, 3.00 s: the whole video, however long\n  f...f" in text
    )
    assert "center: 16 frames, stride 4; a span of 61 frames, 2.44 s\n  .......f...f...f" in text


def test_one_for_another_number_of_frames():
    (facts,) = json.loads(run("swin3d_t", "--frames", "8", "--json"))
    assert (facts["num_frames"], facts["pools"]["temporal"], facts["default_pool"]) == (8, [4, 768], "mean")
    assert (facts["clips"][1]["frame_stride"], facts["clips"][1]["span_frames"]) == (8, 57)
    assert facts["multiply_adds"] < 20e9 < facts["parameters"] * 1000
    with pytest.raises(BackboneError, match="mvit_v2_s takes 16 frames a clip, not 8"):
        CliRunner().invoke(app, ["mvit", "--frames", "8"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="fouls backbones NAME --frames 8"):
        CliRunner().invoke(app, ["--frames", "8"], catch_exceptions=False)


def test_one_of_transformers(tmp_path):
    folder = tiny_checkpoint(tmp_path / "tiny")
    (facts,) = json.loads(run(f"hf:{folder}", "--json"))
    assert (facts["dim"], facts["num_frames"], facts["size"]) == (32, 8, 64)
    assert facts["pools"]["tokens"] == [64, 32]
    model = VideoMAEForVideoClassification.from_pretrained(folder)
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_count_of_all(monkeypatch):
    few = {name: BACKBONES[name] for name in ("mvit", "mvit_v1_b", "mvit_v2_s", "movinet_a0")}
    monkeypatch.setattr("fouls.pipeline.backbones.registry.BACKBONES", few)
    counted = {entry["name"]: entry for entry in json.loads(run("--count", "--json"))}
    assert list(counted) == list(few)
    assert counted["mvit"]["multiply_adds"] == counted["mvit_v2_s"]["multiply_adds"] > 64e9
    text = run("--count")
    assert "multiply-adds a clip" in text
    assert re.search(r"movinet_a0 .* 3\.1 M +│ 2\.6 G ", text)


def test_json():
    entries = {entry["name"]: entry for entry in json.loads(run("--json"))}
    assert list(entries) == list(BACKBONES)
    assert entries["videomae"]["pools"]["temporal"] == [8, 768]
    assert entries["videomae"]["default_pool"] == "mean"
    assert entries["mvit"]["default_pool"] == "cls"
    assert entries["mvit"]["alias_of"] == "mvit_v2_s"
    (one,) = json.loads(run("videomae_huge", "--json"))
    assert (one["dim"], one["num_frames"], one["size"]) == (1280, 16, 224)


def test_one_of_which_only_the_checkpoint_tells():
    text = run("hf:facebook/timesformer-base-finetuned-k400")
    assert text.count("as the checkpoint has it") == 5
    assert "fouls extract --backbone hf:facebook/timesformer-base-finetuned-k400" in text
    (one,) = json.loads(run("hf:some/net", "--json"))
    assert (one["weights"], one["dim"], one["default_pool"]) == ("some/net", None, None)
    assert "hf:ORG/NAME" in run()


def test_unknown_name():
    with pytest.raises(BackboneError, match=r"did you mean mvit\?"):
        CliRunner().invoke(app, ["mvitt"], catch_exceptions=False)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, typer; from fouls.commands.backbones import backbones\n"
        "backbones(None, True); print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
