"""``fouls sweep`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
import yaml

from fouls.commands.evaluate import evaluate
from fouls.commands.sweep import sweep
from fouls.commands.train_head import train_head
from tests.commands.typed import Typed
from tests.heads.worlds import blobs, write_world

app = typer.Typer()
app.command("sweep")(sweep)
app.command("evaluate")(evaluate)
app.command("train-head")(train_head)

BASE = "sweep --features cache/videomae --pool temporal --epochs 8"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_world(tmp_path, blobs({"train": 45, "valid": 18, "test": 9}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


typed = Typed(app)
run, error_of = typed.run, typed.error_of


def test_sweep_evaluate_and_train_again(world: Path) -> None:
    done = run(f"{BASE} --head linear,mlp --lr 1e-4,1e-2 --grid train.batch_size=16,32 --task look")
    assert done.exit_code == 0, done.output
    out = done.stdout
    assert "8 configurations on cache/videomae: 45 samples to train on, 18 to choose by; look (3 classes); cpu" in out
    assert "8 of them in stacks → runs/videomae-sweep-1" in out
    assert "fouls evaluate runs/videomae-sweep-1/best" in out
    folder = world / "runs" / "videomae-sweep-1"
    assert {path.name for path in folder.iterdir()} == {"best", "results.parquet", "results.png", "sweep.yaml"}
    table = pq.read_table(folder / "results.parquet")
    assert table.column_names[:5] == ["configuration", "head", "train.lr", "train.batch_size", "score"]
    assert table["train.lr"].to_pylist() == [1e-4, 1e-4, 1e-2, 1e-2] * 2

    evaluated = run("evaluate runs/videomae-sweep-1/best --json")
    assert evaluated.exit_code == 0, evaluated.output
    assert json.loads(evaluated.stdout)["samples"] == 9
    again = run("train-head --config runs/videomae-sweep-1/best/options.yaml --json")
    best = max(table.to_pylist(), key=lambda row: (row["score"], -row["configuration"]))
    assert json.loads(again.stdout)["splits"]["valid"]["look"]["balanced_accuracy"] == pytest.approx(best["score"])


def test_a_file_says_what_to_sweep_and_the_sweep_writes_one(world: Path) -> None:
    (world / "my.yaml").write_text(
        "features: cache/videomae\npools: temporal\nhead: {name: linear, dropout: 0.1}\ntrain: {epochs: 3}\n"
        "sweep:\n  grid: {train.lr: [1e-3, 1e-2]}\n  runs:\n"
        "    - loss: {kind: focal}\n    - head: {name: mlp, hidden: 8}\n"
    )
    first = run("sweep --config my.yaml --name a --set train.weight_decay=0.2 --json")
    assert first.exit_code == 0, first.output
    plain = json.loads(first.stdout)
    assert (plain["sweep"], plain["run"]) == ("runs/a", "runs/a/best")
    rows = plain["configurations"]
    assert [(row["loss.kind"], row["head"], row["head.hidden"], row["train.lr"]) for row in rows] == [
        ("focal", "linear", None, 1e-3),
        ("focal", "linear", None, 1e-2),
        ("cross_entropy", "mlp", 8, 1e-3),
        ("cross_entropy", "mlp", 8, 1e-2),
    ]
    assert yaml.safe_load((world / "runs" / "a" / "sweep.yaml").read_text())["train"]["weight_decay"] == 0.2
    second = run("sweep --config runs/a/sweep.yaml --name b --json")
    assert second.exit_code == 0, second.output
    times = {"seconds": 0}
    assert [row | times for row in json.loads(second.stdout)["configurations"]] == [row | times for row in rows]


def test_what_failed_is_said_and_the_status_tells(world: Path) -> None:
    result = run(f"{BASE} --head linear --lr 1e-2,1e38")
    assert result.exit_code == 1
    assert "configuration 2 (train.lr 1e+38) failed: the loss is not finite in epoch" in result.stderr
    assert (world / "runs" / "videomae-sweep-1" / "best" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (BASE, "nothing to sweep over: give values"),
        (f"{BASE} --lr 1e-3", "nothing to sweep over"),
        (
            f"{BASE} --lr 1e-3,abc",
            "configuration 2 of 2 (train.lr abc): the run.train.lr is 'abc'; it must be a number",
        ),
        (f"{BASE} --lr 1e-3,1e-2 --grid train.lr=1,2", "train.lr is given twice"),
        (f"{BASE} --seed 0,1,0", "the grid has train.seed = 0 twice"),
        (f"{BASE} --head linear,lstm", "configuration 2 of 2 (head lstm): head 'lstm' does not exist"),
        (
            f"{BASE} --grid head.hidden=8,16 --head linear",
            "configuration 1 of 2 (head.hidden 8): head 'linear' can't use",
        ),
        (f"{BASE} --seed 0,1 --valid-split dev", "--valid-fraction 0.2"),
        (f"{BASE} --grid features=a,b", "features can't be swept"),
        ("sweep --seed 0,1", "--features is missing"),
    ],
)
def test_errors_are_one_line(world: Path, line: str, message: str) -> None:
    assert message in error_of(line)
    assert not (world / "runs").exists()  # nothing is left behind
