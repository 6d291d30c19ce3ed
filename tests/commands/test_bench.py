from __future__ import annotations

import json

import typer
from typer.testing import CliRunner

from fouls.commands.bench import bench
from tests.pipeline.conftest import Project, many_videos, project, tiny_weights

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
    text = run(project, "--repeats", "1", "--precision", "bf16", "--videos", "6")
    assert "in bf16 on cpu, 2 clips at once; " in text
    assert " cores decode; 6 clips, 1 time\n" in text
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
