from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.cache.failures import FAILURE_SCHEMA
from fouls.cache.ledger import BlockRecord, RowFailure, commit
from fouls.cache.store import Store
from fouls.commands.store import failures, status
from fouls.errors import ConfigError
from tests.cache.conftest import fill, make_store, store, templates

__all__ = ["make_store", "store", "templates"]

app = typer.Typer()
app.command()(failures)
app.command()(status)


def run(*arguments: str | Path) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def failed(store: Store) -> Store:
    """Rows 0 … 3 done; 4 can't be decoded, 5 has crashed the decoder twice, 6 once, 7 took too long."""
    fill(store, 0, done=[0, 1, 2, 3])
    wrong = [("decode_error", 0), ("decoder_crashed", 2), ("decoder_crashed", 1), ("timeout", 1)]
    rows = [
        RowFailure(
            row=row, video_id=f"v{row}", code=code, message=f"why {row}", attempts=lost or 1, processes_lost=lost
        )
        for row, (code, lost) in enumerate(wrong, start=4)
    ]
    commit(store.path, BlockRecord(block=1, done=[], failures=tuple(rows)))
    return store


def test_failures_with_counts_by_class(failed: Store) -> None:
    shown = run("failures", failed.path)
    assert shown.exit_code == 0
    counts = [line.split("│")[1:-1] for line in shown.stdout.splitlines() if line.startswith("│ decoder_crashed ")]
    assert [[cell.strip() for cell in row] for row in counts] == [["decoder_crashed", "2", "1"]]
    assert "a retry needs --include-quarantined" in shown.stdout
    plain = json.loads(run("failures", failed.path, "--json").stdout)
    assert [(row["row"], row["code"], row["quarantined"]) for row in plain] == [
        (4, "decode_error", False),
        (5, "decoder_crashed", True),
        (6, "decoder_crashed", False),
        (7, "timeout", False),
    ]
    some = json.loads(run("failures", failed.path, "--json", "--only", "timeout,decode_error").stdout)
    assert [row["row"] for row in some] == [4, 7]


def test_failures_as_parquet(failed: Store, tmp_path: Path) -> None:
    file = tmp_path / "failures.parquet"
    shown = run("failures", failed.path, "--parquet", file, "--only", "decoder_crashed")
    assert f"2 rows → {file}" in shown.stdout
    table = pq.read_table(file)
    assert table.schema == FAILURE_SCHEMA
    assert table["row"].to_pylist() == [5, 6]
    assert table["message"].to_pylist() == ["why 5", "why 6"]


def test_status_counts_the_quarantine(failed: Store) -> None:
    assert "4 (1 in quarantine)" in run("status", failed.path).stdout
    plain = json.loads(run("status", failed.path, "--json").stdout)
    assert (plain["failed"], plain["quarantined"]) == (4, 1)


def test_a_class_that_does_not_exist(failed: Store) -> None:
    with pytest.raises(ConfigError, match="--only is 'late'"):
        run("failures", failed.path, "--only", "late")
