from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from fouls.commands.backbones import backbones
from fouls.errors import BackboneError
from fouls.pipeline.backbones.registry import BACKBONES

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
