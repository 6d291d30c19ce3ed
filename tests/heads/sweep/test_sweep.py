"""A sweep from stores to a finished folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from fouls.errors import ConfigError, RunError
from fouls.heads.data import load_samples
from fouls.heads.determinism import deterministic
from fouls.heads.evaluate import evaluate
from fouls.heads.predictions import reduced
from fouls.heads.prepare import prepare
from fouls.heads.run import load_run
from fouls.heads.run_options import RunOptions
from fouls.heads.sweep.candidates import Candidate, make_candidates
from fouls.heads.sweep.grid import configure, make_points
from fouls.heads.sweep.results import ranked
from fouls.heads.sweep.sweep import make_groups, sweep
from fouls.heads.train import Fit, fit
from fouls.heads.train_head import train_head
from tests.heads.worlds import BLOB_TASKS, blobs, make_manifest, make_store

VIDEOS = blobs({"train": 36, "valid": 18, "test": 12}, signal=0.7)
BASE = {"train": {"epochs": 6, "precision": "fp32"}, "pools": ["temporal"]}

Make = Callable[..., list[Candidate]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    store, manifest = make_store(tmp_path / "store", VIDEOS), make_manifest(VIDEOS, BLOB_TASKS)

    def of(axes: dict[str, list[Any]], runs: list[dict[str, Any]] | None = None, **base: Any) -> list[Candidate]:
        points = [(point, configure(BASE | base, {}, point)) for point in make_points(axes, runs or [])]
        return make_candidates([store], manifest, points, manifest_path="m")

    return of


def test_every_row_is_the_run_that_train_head_makes(make: Make, tmp_path: Path) -> None:
    candidates = make({"head": ["linear", "tcn"], "train.lr": [1e-3, 1e-2]})
    found = sweep(candidates, asked={}, out=tmp_path / "runs")
    table = pq.read_table(found.path / "results.parquet").to_pylist()
    assert [row["configuration"] for row in table] == [1, 2, 3, 4]
    for candidate, row in zip(candidates, table, strict=True):
        alone = train_alone(candidate)
        assert (row["best_epoch"], row["epochs"]) == (alone.best_epoch, len(alone.history))
        best = alone.history[alone.best_epoch - 1]
        scores = [best[f"valid/{task}/balanced_accuracy"] for task in BLOB_TASKS]
        assert row["score"] == pytest.approx(sum(scores) / 2)
        assert row["valid/look/balanced_accuracy"] == pytest.approx(scores[0])
        assert row["valid/loss"] == pytest.approx(best["valid/loss"], rel=1e-4)
        assert row["failed"] is None
        assert row["at_once"] == (2 if row["head"] == "linear" else 1)
    winner = max(table, key=lambda row: (row["score"], -row["configuration"]))
    assert found.results[0].candidate.number == winner["configuration"]
    assert found.best.metrics["best_epoch"] == winner["best_epoch"]


def train_alone(candidate: Candidate) -> Fit:
    """As ``fouls train-head`` does, without a folder."""
    prepared, config = candidate.prepared, candidate.prepared.config
    with deterministic(config.train.seed, torch.device("cpu")):
        head = config.build_head()
        samples = reduced(head, prepared.samples)
        split = samples.select(prepared.train), samples.select(prepared.valid)
        return fit(head, *split, config.tasks, config.train, config.loss)


def test_stacks_are_of_one_shape_and_one_seed(make: Make) -> None:
    axes = {"head": ["linear", "tcn"], "train.seed": [0, 1], "loss.kind": ["cross_entropy", "focal"]}
    candidates = make(axes | {"train.weight_decay": [0, 0.1], "head.dropout": [0.2, 0.3]})
    groups = [[candidate.number for candidate in group] for group in make_groups(candidates)]
    assert groups[:4] == [[1, 3, 5, 7], [2, 4, 6, 8], [9, 11, 13, 15], [10, 12, 14, 16]]  # seed and dropout are shared
    assert groups[4:] == [[number] for number in range(17, 33)]  # tcn is not stacked
    attention = make({"train.lr": [1e-3, 1e-2]}, head={"name": "linear", "view_pooling": "attention"})
    assert [len(group) for group in make_groups(attention)] == [1, 1]


def test_the_best_is_a_run_like_any_other(make: Make, tmp_path: Path) -> None:
    candidates = make({"train.lr": [1e-5, 1e-2]}, head="linear")
    found = sweep(candidates, asked={}, out=tmp_path / "runs", name="mine")
    assert found.results[0].candidate.number == 2
    alone = train_head(candidates[1].prepared, out=tmp_path / "alone", name="best")
    same_run(found.path / "best", alone.run.path)
    run = load_run(found.path / "best")
    result = evaluate(run, make_store(tmp_path / "again", VIDEOS), make_manifest(VIDEOS, BLOB_TASKS), split="test")
    assert result.num_samples == 12


def same_run(ours: Path, theirs: Path) -> None:
    """The folders hold the same files, of the same options, weights and scores."""
    events = "events.out"
    names = [{path.name for path in each.iterdir() if not path.name.startswith(events)} for each in (ours, theirs)]
    assert names[0] == names[1]
    for name in ("config.json", "options.yaml"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    weights = [safetensors.torch.load_file(each / "weights.safetensors") for each in (ours, theirs)]
    for name, values in weights[0].items():
        torch.testing.assert_close(values, weights[1][name], rtol=1e-3, atol=1e-4)
    metrics = [json.loads((each / "metrics.json").read_text()) for each in (ours, theirs)]
    for key in ("best_epoch", "epochs", "parameters"):
        assert metrics[0][key] == metrics[1][key]
    for task, scores in metrics[0]["splits"]["valid"].items():
        assert scores["confusion"] == metrics[1]["splits"]["valid"][task]["confusion"]


def test_features_are_read_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[2].pools)
        return load_samples(*args, **kwargs)

    monkeypatch.setattr("fouls.heads.prepare.load_samples", counting)
    candidates = make({"pools": ["mean", "temporal"], "head": ["linear", "mlp"], "train.lr": [1e-3, 1e-2]})
    assert calls == [("mean",), ("temporal",)]
    assert len({id(candidate.prepared.samples) for candidate in candidates}) == 2
    assert candidates[0].varied == {"pools": "mean", "head": "linear", "train.lr": 1e-3}


def test_one_failure_costs_only_itself(make: Make, tmp_path: Path) -> None:
    candidates = make({"head": ["linear", "tcn"], "train.lr": [1e-2, 1e38]})
    found = sweep(candidates, asked={}, out=tmp_path)
    rows = pq.read_table(found.path / "results.parquet").to_pylist()
    assert [row["failed"] is None for row in rows] == [True, False, True, False]
    assert "the loss is not finite in epoch" in rows[1]["failed"]
    assert "train with a lower --lr than 1e+38" in rows[3]["failed"]
    assert (rows[1]["score"], rows[3]["best_epoch"]) == (None, None)
    assert [result.candidate.number for result in found.results[2:]] == [2, 4]
    with pytest.raises(RunError, match="all 2 configurations failed, the first so: the loss is not finite"):
        sweep(make({"train.lr": [1e37, 1e38]}, head="linear"), asked={}, out=tmp_path, name="bad")
    assert not (tmp_path / "bad" / "best").exists()


def test_ties_go_to_the_first(make: Make, tmp_path: Path) -> None:
    candidates = make({"loss.smoothness_weight": [0.1, 0.2, 0.3]}, head="linear")  # which no loss here reads
    found = sweep(candidates, asked={}, out=tmp_path)
    assert len({result.score for result in found.results}) == 1
    assert [result.candidate.number for result in ranked(found.results[::-1])] == [1, 2, 3]
    assert found.results[0].candidate.number == 1


def test_what_was_not_finished_is_not_taken_for_whole(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = make({"train.lr": [1e-3, 1e-2]}, head="linear")
    with monkeypatch.context() as patched:
        patched.setattr("fouls.heads.sweep.sweep.draw_sweep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sweep(candidates, asked={"a": 1}, out=tmp_path)
    first = tmp_path / "store-sweep-1"
    assert not (first / "results.parquet").exists()
    assert sweep(candidates, asked={}, out=tmp_path).path == tmp_path / "store-sweep-2"
    with pytest.raises(RunError, match="is there already: choose another --name, or --overwrite it"):
        sweep(candidates, asked={}, out=tmp_path, name=first.name)
    assert sweep(candidates, asked={"b": 2}, out=tmp_path, name=first.name, overwrite=True).path == first
    assert (first / "sweep.yaml").read_text() == "b: 2\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(RunError, match="is there and is no sweep"):
        sweep(candidates, asked={}, out=tmp_path, name="other", overwrite=True)


def interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("axes", "base", "message"),
    [
        ({"head": ["linear", "tcn"]}, {"pools": ["mean"]}, r"configuration 2 of 2 \(head tcn\): .*one time step"),
        ({"train.lr": [1, -1]}, {}, r"configuration 2 of 2 \(train.lr -1\): learning rate is -1; it must be"),
        ({"train.lr": [0.1, "1e-1"]}, {}, r"configuration 2 of 2 \(train.lr 1e-1\) is the same as configuration 1"),
        ({"head.time_pooling": [None, "mean_std"]}, {"head": "linear"}, r"configuration 2 .* is the same as"),
        ({"train.epoch": [1, 2]}, {}, "configuration 1 of 2 .* did you mean 'epochs'"),
        ({"train.mixing.cutmix_alpha": [0, 1]}, {}, "configuration 2 of 2 .*cutmix exchanges steps"),
        ({"train.seed": [0, 1]}, {"valid_split": "dev"}, "no labelled sample in split 'dev' to choose the best on"),
    ],
)
def test_what_cannot_work_is_told_before(
    make: Make, axes: dict[str, list[Any]], base: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(axes, **base)


def test_one_configuration_is_prepared_as_ever(make: Make, tmp_path: Path) -> None:
    """What a sweep knows already changes nothing of what :func:`prepare` resolves."""
    (first, second) = make({"train.lr": [1e-3, 1e-2]}, head="mlp")
    store, manifest = make_store(tmp_path / "other", VIDEOS), make_manifest(VIDEOS, BLOB_TASKS)
    options = RunOptions.from_dict(configure({**BASE, "head": "mlp"}, {}, {"train.lr": 1e-2}))
    alone = prepare(store, manifest, options, manifest_path="m")
    assert alone.config.train == second.prepared.config.train
    assert alone.config.head == first.prepared.config.head
    assert alone.train.tolist() == second.prepared.train.tolist()
