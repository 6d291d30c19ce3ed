from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.cache.store import Store
from fouls.commands.verify import verify
from fouls.errors import StoreError, WeightsUnavailableError
from tests.cache.conftest import fill, make_store, store, templates
from tests.cache.test_verify import flip, index_file
from tests.pipeline.conftest import NUM_VIDEOS, Project, many_videos, project, tiny_weights

__all__ = ["make_store", "many_videos", "project", "store", "templates", "tiny_weights"]

app = typer.Typer()
app.command()(verify)


def run(*arguments: str | Path) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store, 0, done=[0, 1, 2, 3])
    fill(store, 1, done=[4, 5, 7], failed=[6])
    return store


def test_a_whole_store(filled: Store) -> None:
    result = run(filled.path)
    assert result.exit_code == 0
    assert f"{filled.path}: whole; 2 blocks are as they were written" in result.stdout
    plain = json.loads(run(filled.path, "--json").stdout)
    assert plain == {
        "store": str(filled.path),
        "whole": True,
        "blocks": 2,
        "damaged": [],
        "findings": [],
        "mended": [],
    }


def test_damage_is_a_table_with_the_command_that_mends_it(filled: Store) -> None:
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    flip(index_file(filled), 60)
    result = run(filled.path)
    assert result.exit_code == 1
    assert "mean/c/1/0" in result.stdout
    assert f"rows/{index_file(filled).name}" in result.stdout
    assert result.stdout.splitlines()[-1] == f"next: fouls verify {filled.path} --repair"
    plain = json.loads(run(filled.path, "--json").stdout)
    assert (plain["whole"], plain["damaged"]) == (False, [1])
    assert [(found["kind"], found["remedy"]) for found in plain["findings"]] == [
        ("index", "repair"),
        ("chunk", "repair"),
    ]


def test_repair_mends_and_ends_with_zero(filled: Store) -> None:
    flip(filled.path / "mean" / "c" / "1" / "0", 3)
    result = run(filled.path, "--repair")
    assert result.exit_code == 0
    assert "mean/c/1/0: set aside; 3 rows of block 1 are to do again" in result.stdout
    assert "whole; 2 blocks" in result.stdout
    assert "`fouls extract` with the options of before does what is to do" in result.stdout.splitlines()[-1]
    assert filled.rows()["status"].to_pylist().count("todo") == 5


def test_what_can_not_be_mended_is_said(filled: Store) -> None:
    name = index_file(filled).name
    for file in (name, f"{name}.copy"):
        flip(filled.path / "rows" / file, 60)
    for arguments in ([], ["--repair"]):
        result = run(filled.path, *arguments)
        assert result.exit_code == 1
        assert "restore the file from a backup, or extract into another --out" in result.stdout
        assert result.stdout.splitlines()[-1].startswith("next: restore what is named above from a backup")


def test_traces_of_a_stopped_run_are_no_damage(filled: Store) -> None:
    (filled.path / "ledger" / "00000001.json").unlink()
    result = run(filled.path)
    assert result.exit_code == 0
    assert "not clean, but nothing is lost" in result.stdout
    assert "3 rows hold values" in result.stdout


def test_many_findings_are_cut_short(make_store: Callable[..., Store]) -> None:
    store = make_store(num_videos=100, block_rows=1)
    for block in range(50):
        fill(store, block, done=[block])
        (store.path / "mean" / "c" / str(block) / "0").unlink()
    result = run(store.path)
    assert "… and 10 more; --json lists them" in result.stdout
    assert len(json.loads(run(store.path, "--json").stdout)["findings"]) == 50


def test_no_store(tmp_path: Path) -> None:
    for arguments in ([], ["--repair"]):
        with pytest.raises(StoreError, match="no store at"):
            run(tmp_path / "none", *arguments)
    assert not (tmp_path / "none").exists()


def test_recompute(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.extract(pools=("mean", "temporal"), precision="fp32")
    path = project.path / "cache" / "videomae"
    shown = run(path, "--recompute", "3")
    assert shown.exit_code == 0
    assert "3 rows extracted again; allowed by magnitude: 0.002" in shown.stdout
    plain = json.loads(run(path, "--recompute", "100", "--seed", "1", "--json").stdout)
    assert plain["recomputed"]["rows"] == list(range(NUM_VIDEOS))
    assert plain["recomputed"]["differing"] == []
    assert set(plain["recomputed"]["pools"]) == {"mean", "temporal"}
    project.weights.rename(project.path / "away")
    with pytest.raises(WeightsUnavailableError, match="no such file or folder; needed are those that filled"):
        run(path, "--recompute", "3")
    moved = run(path, "--recompute", "3", "--weights", project.path / "away", "--manifest", project.path / "manifests")
    assert moved.exit_code == 0
    (project.path / "away").rename(project.weights)


def test_recompute_finds_what_no_checksum_can(project: Project) -> None:
    from tests.pipeline.test_recompute import overwrite

    project.extract()
    overwrite(project.store(), 1, 1, 9.0)
    result = run(project.path / "cache" / "videomae", "--recompute", NUM_VIDEOS)
    assert result.exit_code == 1
    assert "1 rows are not what the backbone says now: 5" in result.stdout
