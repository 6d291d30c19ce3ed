"""``fouls ensemble`` as it is typed, and ``fouls evaluate`` of what it made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from fouls.commands.ensemble import ensemble
from fouls.commands.evaluate import evaluate
from fouls.commands.train_head import train_head
from tests.commands.typed import Typed
from tests.heads.worlds import blobs, write_world

app = typer.Typer()
for command in (train_head, ensemble, evaluate):
    app.command()(command)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, blobs({"train": 36, "valid": 18, "test": 12}, signal=1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("fouls.heads.train_head.write_confusions", lambda *_: [])
        patch.setattr("fouls.heads.train_head.draw_curves", lambda *_: b"")
        for name, options in {"a": "--head mlp", "b": "--head linear", "c": "--head linear --task look"}.items():
            result = run(f"train-head --features cache/videomae --pool mean --epochs 3 --name {name} {options}")
            assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(autouse=True)
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setattr("fouls.heads.evaluate.write_pictures", lambda *_: [])


typed = Typed(app)
run, error_of = typed.run, typed.error_of


def test_fit_and_measure(world: Path) -> None:
    result = run("ensemble runs/a runs/b --split test --name both")
    assert result.exit_code == 0, result.output
    assert "look, fitted on valid: " in result.stdout
    for title in ("look, valid, in %", "move, valid, in %", "look, test, in %", "move, test, in %"):
        assert title in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if "runs/a " in line and "│" in line]
    assert len(rows) == 4
    assert "next: fouls evaluate runs/both --split SPLIT" in result.stdout
    for split in ("valid", "test"):
        assert (world / "runs" / "both" / f"predictions_{split}.parquet").exists()
    plain = json.loads((world / "runs" / "both" / "ensemble.json").read_text())
    assert [member["run"] for member in plain["members"]] == ["runs/a", "runs/b"]
    assert plain["fitted_on"] == "valid"

    shown = run("evaluate runs/both --split test --json")
    assert shown.exit_code == 0, shown.output
    measured = json.loads(shown.stdout)
    assert measured["samples"] == 12
    written = json.loads((world / "runs" / "both" / "metrics_test.json").read_text())
    assert measured["compared"] == written["compared"]
    assert "--features, --manifest and --average-passes are for its runs" in error_of(
        "evaluate runs/both --features cache/videomae"
    )


def test_given_weights_need_no_valid_split_and_names_count_up(world: Path) -> None:
    line = "ensemble runs/a runs/b --weights 3,1 --valid-split none --split test --json"
    plain = json.loads(run(line).stdout)
    assert plain["weights"] == {"look": [0.75, 0.25], "move": [0.75, 0.25]}
    assert (plain["ensemble"], plain["fitted_on"], list(plain["splits"])) == ("runs/ensemble-1", None, ["test"])
    assert json.loads(run(line).stdout)["ensemble"] == "runs/ensemble-2"


def test_a_task_that_not_all_have_is_left_out_and_said(world: Path) -> None:
    result = run("ensemble runs/a runs/c --name half")
    assert result.exit_code == 0, result.output
    assert "task 'move' is left out: runs/c lacks it" in result.stderr
    assert "move" not in result.stdout


def test_runs_that_are_not_worse_are_named(world: Path) -> None:
    result = run("ensemble runs/a runs/b --weights 1,0 --name one")
    assert "task 'look': the ensemble is not better than runs/" in result.stderr
    assert "on valid: balanced accuracy" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ensemble runs/a", "an ensemble needs 2 runs at least; given: runs/a"),
        ("ensemble runs/a runs/b runs/a", "run runs/a is given twice"),
        ("ensemble runs/a runs/none", "no run at runs/none"),
        ("ensemble runs/a manifests", "no run at manifests"),
        ("ensemble runs/a runs/b --weights 1", "weights 1 are 1, but there are 2 runs"),
        ("ensemble runs/a runs/b --weights=-1,2", "weights are -1,2; allowed are numbers from 0 on"),
        ("ensemble runs/a runs/b --weights 0,0", "weights are 0,0; allowed are numbers from 0 on"),
        ("ensemble runs/a runs/b --weights best", "weights are 'best'; allowed: fitted, equal, or a number a run"),
        ("ensemble runs/a runs/b --valid-split train", "runs/a was trained on split 'train'"),
        ("ensemble runs/a runs/b --valid-split dev", "the manifest has no split 'dev'"),
        ("ensemble runs/a runs/b --name a --overwrite", "runs/a is there and is no ensemble"),
    ],
)
def test_errors_are_one_line(world: Path, line: str, message: str) -> None:
    before = sorted((world / "runs").iterdir())
    assert message in error_of(line)
    assert sorted((world / "runs").iterdir()) == before  # nothing is left behind
