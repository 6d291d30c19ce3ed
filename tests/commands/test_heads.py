"""``fouls train-head`` and ``fouls evaluate`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from fouls.commands.evaluate import evaluate
from fouls.commands.train_head import train_head
from tests.commands.typed import Typed
from tests.heads.worlds import blobs, make_store, write_world

app = typer.Typer()
app.command("train-head")(train_head)
app.command("evaluate")(evaluate)

VIDEOS = blobs({"train": 60, "valid": 15, "test": 15})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_world(tmp_path, VIDEOS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


typed = Typed(app)
run, error_of = typed.run, typed.error_of


def test_train_and_evaluate(world: Path) -> None:
    trained = run("train-head --features cache/videomae --pool temporal --epochs 60 --lr 0.01")
    assert trained.exit_code == 0, trained.output
    out = trained.stdout
    assert "mlp on cache/videomae, pool temporal (4 × 12): 60 samples to train on, 15 to watch" in out
    assert "look (3 classes), move (3 classes)" in out
    assert "next: fouls evaluate runs/videomae-mlp-1 --split test" in out
    rows = [line.split() for line in out.splitlines() if "look" in line and "valid" in line]
    assert rows
    assert "(33.3)" in rows[0]  # chance stands beside
    assert (world / "runs" / "videomae-mlp-1" / "metrics.json").exists()

    evaluated = run("evaluate runs/videomae-mlp-1 --json")
    assert evaluated.exit_code == 0, evaluated.output
    plain = json.loads(evaluated.stdout)
    assert plain["samples"] == 15
    assert plain["tasks"]["look"]["balanced_accuracy"] > 0.8
    assert plain["tasks"]["move"]["balanced_accuracy"] > 0.8
    assert "runs/videomae-mlp-1/metrics_test.json" in plain["files"]

    shown = run("evaluate runs/videomae-mlp-1 --split valid")
    assert shown.exit_code == 0, shown.output
    assert "15 samples → predictions_valid.parquet" in shown.stdout


def test_json_is_all_that_stdout_holds(world: Path) -> None:
    result = run("train-head --features cache/videomae --head linear --task move --epochs 2 --name mine --json")
    assert result.exit_code == 0, result.output
    plain = json.loads(result.stdout)
    assert plain["run"] == "runs/mine"
    assert list(plain["splits"]["train"]) == ["move"]


def test_without_valid_it_says_so(world: Path) -> None:
    result = run("train-head --features cache/videomae --epochs 2 --valid-split none")
    assert result.exit_code == 0, result.output
    assert "no labelled samples in split 'none': all 2 epochs are trained, without early stopping" in result.stderr
    watched = run("train-head --features cache/videomae --epochs 2 --valid-split none --valid-fraction 0.2")
    assert "48 samples to train on, 12 to watch" in watched.stdout


def test_what_was_trained_on_may_have_moved(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train-head --features cache/videomae --epochs 1").exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert error_of("evaluate ../runs/videomae-mlp-1") == (
        "../runs/videomae-mlp-1 was trained on cache/videomae, which is not here: say where it is with --features"
    )
    again = run("evaluate ../runs/videomae-mlp-1 --features ../cache/videomae --manifest ../manifests")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train-head --features cache/missing", "no store at cache/missing"),
        ("train-head --features cache/videomae --manifest labels", "labels: no such manifest"),
        ("train-head --features cache/videomae --head lstm", "head 'lstm' does not exist; there are linear, mlp, tcn"),
        ("train-head --features cache/videomae --head linear --hidden 8", "head 'linear' can't use hidden = 8"),
        ("train-head --features cache/videomae --head tcn --pool mean", "one time step a track"),
        ("train-head --features cache/videomae --pool tokens", "pool 'tokens' is not in cache/videomae; it has mean"),
        ("train-head --features cache/videomae --task card", "task 'card' is not in the manifest; it has look, move"),
        ("train-head --features cache/videomae --train-split dev --valid-split none", "has no split 'dev' or 'none'"),
        ("train-head --features cache/videomae --class-weights heavy", "class weights is 'heavy'; allowed: none"),
        ("train-head --features cache/videomae --epochs 0", "epochs is 0"),
        ("train-head --features cache/videomae --device tpu", "device 'tpu' is not here"),
        ("train-head", "--features is missing"),
        ("train-head --features cache/videomae --set train.epoch=3", "did you mean 'epochs'?"),
        ("train-head --features cache/videomae --augmented", "cache/videomae has no augmented rows"),
        ("train-head --features cache/videomae --pose mouse", "needs keypoints, but the manifest has no column"),
        ("train-head --features cache/videomae --set train.mixing.cutmix_alpha=1", "take mixup, or a pool with time"),
        ("evaluate runs/none", "no run at runs/none"),
    ],
)
def test_errors_are_one_line(world: Path, line: str, message: str) -> None:
    assert message in error_of(line)
    assert not (world / "runs").exists()  # nothing is left behind


def test_an_existing_run_is_refused(world: Path) -> None:
    line = "train-head --features cache/videomae --epochs 1 --name mine"
    assert run(line).exit_code == 0
    assert "runs/mine is there already" in error_of(line)
    assert run(f"{line} --overwrite").exit_code == 0


def test_a_config_file_then_flags_then_settings(world: Path) -> None:
    (world / "run.yaml").write_text(
        "features: cache/videomae\nhead: {name: linear, dropout: 0.1}\ntrain: {epochs: 2, lr: 1e-2}\ntasks: [look]\n"
    )
    line = "train-head --config run.yaml --name mine --epochs 3 --set train.warmup_epochs=1 --loss focal"
    assert run(line).exit_code == 0
    config = json.loads((world / "runs" / "mine" / "config.json").read_text())
    assert (config["head"]["name"], config["head"]["dropout"]) == ("linear", 0.1)
    train = config["train"]
    assert (train["epochs"], train["lr"], train["warmup_epochs"]) == (3, 0.01, 1.0)
    assert (config["loss"]["kind"], [task["name"] for task in config["tasks"]]) == ("focal", ["look"])
    again = run("train-head --config runs/mine/options.yaml --name again")
    assert again.exit_code == 0, again.output
    weights = [(world / "runs" / name / "weights.safetensors").read_bytes() for name in ("mine", "again")]
    assert weights[0] == weights[1]
    other = run("train-head --config run.yaml --head mlp --hidden 8 --name other")  # drops the linear head's options
    assert other.exit_code == 0, other.output


def test_two_stores_stand_side_by_side(world: Path) -> None:
    store = world / "cache" / "second"
    make_store(store, VIDEOS, seed=1)
    both = "--features cache/videomae --features cache/second"
    result = run(f"train-head {both} --pool temporal --pool mean --project 6 --name both --epochs 2")
    assert result.exit_code == 0, result.output
    config = json.loads((world / "runs" / "both" / "config.json").read_text())
    assert config["form"]["widths"] == [12, 12]
    assert [store["pool"] for store in config["stores"]] == ["temporal", "mean"]
    evaluated = run("evaluate runs/both --json")
    assert json.loads(evaluated.stdout)["samples"] == 15
    assert "--features is given 1 times, but runs/both was trained on cache/videomae, cache/second" in error_of(
        "evaluate runs/both --features cache/videomae"
    )
