"""``fouls extract`` as it is typed: the options of augmented passes, and of several backbones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.commands.extract import extract
from fouls.errors import ConfigError, WeightsUnavailableError
from tests.pipeline.backbones.checkpoints import tiny_checkpoint
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


def test_two_backbones_at_once(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    other = tiny_checkpoint(tmp_path / "other", num_frames=16, image_size=32)
    base = f"--backbone videomae --backbone videomae --weights {project.weights} --weights {other} --device cpu"
    first = f"{base} --out cache/videomae --out cache/other"
    tried = json.loads(run(f"{first} --dry-run --json").stdout)
    assert [(store["store"], store["rows"]) for store in tried["stores"]] == [
        ("cache/videomae", NUM_VIDEOS),
        ("cache/other", NUM_VIDEOS),
    ]
    assert tried["seconds"] > 0
    assert "all at once, each video decoded once: 0:00:0" in run(f"{first} --dry-run").stdout
    done = run(first)
    assert done.exit_code == 0, done.output
    assert f"cache/videomae: {NUM_VIDEOS} of {NUM_VIDEOS} rows done" in done.stdout
    assert f"cache/other: {NUM_VIDEOS} of {NUM_VIDEOS} rows done" in done.stdout
    assert "next: fouls train-head --features cache/videomae --features cache/other" in done.stdout
    again = json.loads(run(f"{base} --out cache/videomae --out cache/more --json").stdout)
    assert [(store["store"], store["new_rows"], store["done"]) for store in again["stores"]] == [
        ("cache/videomae", 0, NUM_VIDEOS),
        ("cache/more", NUM_VIDEOS, NUM_VIDEOS),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--weights random:0", "--weights is given 1 times, --backbone 2 times: give one for each, in order"),
        ("--out a --out b --out c", "--out is given 3 times, --backbone 2 times"),
        ("--fallback dinov2_b", "--fallback belongs to one backbone"),
        ("--out a --out a", "a can't hold both videomae and mvit: give each a store with --out"),
    ],
)
def test_options_of_several_backbones_that_make_no_sense(options: str, message: str) -> None:
    result = run(f"--backbone videomae --backbone mvit {options}")
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_default_weights_beside_others(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no default says so, as if nothing had been given."""
    monkeypatch.chdir(project.path)
    weights = f"--weights {project.weights} --weights default"
    result = run(f"--backbone videomae --backbone mvit_v2_b {weights}")
    assert isinstance(result.exception, WeightsUnavailableError)
    assert "no weights of mvit_v2_b to download" in str(result.exception)
