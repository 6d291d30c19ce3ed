"""``fouls extract`` as it is typed: the options of augmented passes."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.commands.extract import extract
from fouls.errors import ConfigError
from tests.pipeline.conftest import NUM_VIDEOS, Project, many_videos, project, tiny_weights

__all__ = ["many_videos", "project", "tiny_weights"]

app = typer.Typer()
app.command("extract")(extract)


def run(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def test_augmented_passes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    base = f"--backbone videomae --weights {project.weights} --device cpu"
    tried = run(f"{base} --augment 2 --dry-run --json")
    assert json.loads(tried.stdout)["new_rows"] == 3 * NUM_VIDEOS
    options = "--augment-scale 0.3:0.9 --augment-ratio 1:1 --augment-flip 0 --augment-shift 0 --augment-seed 5"
    done = run(f"{base} --augment 1 {options} --limit 2 --json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["rows"], report["done"], report["videos"]) == (4, 4, 2)
    assert report["spec"]["augmentation"] == {
        "seed": 5,
        "scale": [0.3, 0.9],
        "ratio": [1.0, 1.0],
        "flip": 0.0,
        "jitter": "none",
        "max_shift": None,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--augment-scale 0.5:1", "--augment-scale says how passes are augmented: add --augment K"),
        ("--augment-shift 3", "--augment-shift says how passes are augmented: add --augment K"),
        ("--augment 0", "--augment is 0; it must be 1 or more, or left out"),
        ("--augment 2 --augment-ratio 1", "--augment-ratio is '1'; it must be MIN:MAX"),
        ("--augment 2 --augment-scale a:b", "--augment-scale is 'a:b'; it must be MIN:MAX"),
    ],
)
def test_options_of_augmented_passes_that_make_no_sense(options: str, message: str) -> None:
    result = run(f"--backbone videomae {options}")
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
