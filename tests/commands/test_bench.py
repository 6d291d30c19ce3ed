from __future__ import annotations

import json

import typer
from typer.testing import CliRunner

from fouls.commands.bench import bench
from tests.pipeline.conftest import NUM_VIDEOS, Project, many_videos, project, tiny_weights

__all__ = ["many_videos", "project", "tiny_weights"]

app = typer.Typer()
app.command()(bench)


def run(project: Project, *arguments: str) -> str:
    common = ["--backbone", "videomae", "--weights", str(project.weights), "--device", "cpu"]
    common += ["--manifest", str(project.path / "manifests"), "--batch-size", "2"]
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [*common, *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_stages_and_what_follows(project: Project) -> None:
    plain = json.loads(run(project, "--clips", "6", "--repeats", "1", "--json"))
    assert (plain["clips"], plain["batch_size"], plain["device"]) == (6, 2, "cpu")
    stages = plain["stages"]
    assert plain["of_forward"] == stages["extract"]["clips_per_second"] / stages["forward"]["clips_per_second"]
    text = run(project, "--repeats", "1", "--precision", "fp32")
    assert f"in fp32 on cpu, 2 clips at once; 1 of {plain['cores']} cores decode; {NUM_VIDEOS} clips, 1 times" in text
    for stage in ("decoding", "preprocessing", "forward", "writing", "extract", "limit: forward + decoding by cores"):
        assert f"│ {stage} " in text
    assert text.splitlines()[-1].startswith("next: ")


def test_parity(project: Project) -> None:
    found = json.loads(run(project, "--parity", "--precision", "bf16", "--json"))
    compared = {each["what"]: each for each in found}
    assert compared["precision"]["here"] == "bf16"
    assert 0.99 < compared["precision"]["deviations"]["mean"]["cosine"] < 1
    text = run(project, "--parity", "--precision", "fp32")
    assert "features against plain ones" in text
    assert "│ batch size │ 2 " in text
