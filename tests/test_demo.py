"""``fouls demo``, whole: what a new user sees first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fouls.cli import run_command
from fouls.demo.dataset import draw_samples
from fouls.demo.run import PROBES, TASKS, run_demo
from fouls.demo.scenes import HUES, MOTIONS, Scene
from fouls.errors import ConfigError


def accuracy(run: Path, task: str) -> float:
    value: float = json.loads((run / "metrics_test.json").read_text())["tasks"][task]["accuracy"]
    return value


def test_both_tasks_clearly_beat_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Chance is 0.25; the mean over a clip hardly knows of motion, its steps in time do."""
    folder = tmp_path / "demo"
    run_demo(folder, run_command)
    runs = folder / "runs"
    for probe in PROBES:
        assert accuracy(runs / probe.run, "colour") > 0.5
    assert accuracy(runs / "linear-temporal", "motion") > 0.5
    assert accuracy(runs / "tcn-temporal", "motion") > 0.5
    assert accuracy(runs / "linear-mean", "motion") < accuracy(runs / "linear-temporal", "motion") - 0.2
    out = capsys.readouterr().out
    assert "What was measured" in out
    assert "chance" in out
    for place in ("manifests/demo.parquet", "cache/videomae/zarr.json", "runs/tcn-temporal/curves.png"):
        assert (folder / place).exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something that is not a demo"):
        run_demo(tmp_path, run_command)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_splits_are_balanced_and_disjoint() -> None:
    samples = list(draw_samples(160, seed=0))
    assert len({sample.name for sample in samples}) == 160
    for split, share in (("train", 6), ("valid", 2), ("test", 2)):
        pairs = [(s.scene.colour, s.scene.motion) for s in samples if s.split == split]
        assert {pairs.count((colour, motion)) for colour in HUES for motion in MOTIONS} == {share}
    assert set(TASKS) == {"colour", "motion"}


def test_approach_and_recede_are_one_film_in_two_orders() -> None:
    import dataclasses

    import numpy as np

    scene = Scene.draw("red", "approach", np.random.default_rng(0))
    forth = np.stack(list(scene.frames(1.0))).astype(float)
    back = np.stack(list(dataclasses.replace(scene, motion="recede").frames(1.0))).astype(float)[::-1]
    assert np.abs(forth - back).mean() < 6  # noise of its own in every frame
    assert np.abs(forth[0] - forth[-1]).mean() > 12
