from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.cache.store import Store
from fouls.commands.export import _facts, export
from fouls.errors import ConfigError
from fouls.manifests.schema import manifest_schema
from fouls.manifests.table import write_manifest
from tests.cache.conftest import fill, make_store, store, templates

__all__ = ["make_store", "store", "templates"]

app = typer.Typer()
app.command()(export)


def run(*arguments: str | Path) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def manifest(path: Path) -> Path:
    """Two videos with a class each, some classes each, and a class a frame; a third without labels."""
    tasks = {"action": ["dive", "run"], "many": ["x", "y"], "frames": ["other", "chase", "sniff"]}
    schema = manifest_schema(tasks, labels=["action"], multi_labels=["many"], frame_labels=["frames"])
    columns = {name: [None] * 3 for name in schema.names} | {
        "video_id": ["v0", "v1", "v2"],
        "sample_id": ["s0", "s1", "s2"],
        "view": [0, 0, 0],
        "path": ["/x/0", "/x/1", "/x/2"],
        "split": ["train", "test", ""],
        "fps": [25.0, 30.0, None],
        "num_frames": [6, 4, None],
        "width": [8, 8, None],
        "height": [8, 8, None],
        "duration_seconds": [0.24, 4 / 30, None],
        "codec": ["h264", "h264", None],
        "probe_error": [None, None, "unreadable: gone"],
        "label.action": [1, 0, None],
        "multi_label.many": [[0, 1], [], None],
        "frame_label.frames": [[1, 1, 0, -1, 2, 2], [0, 0, 0, 0], None],
    }
    write_manifest(pa.table(columns, schema=schema), path)
    return path


def test_facts_of_a_manifest(tmp_path: Path) -> None:
    facts = _facts(manifest(tmp_path / "m.parquet"), None, "other")
    assert (facts["v0"].split, facts["v0"].fps, facts["v0"].num_frames) == ("train", 25.0, 6)
    assert facts["v0"].labels == {"action": "run", "many": ["x", "y"]}
    assert [(s.start_frame, s.stop_frame, s.label) for s in facts["v0"].segments or ()] == [
        (0, 2, "chase"),
        (4, 6, "sniff"),
    ]
    assert facts["v1"].labels == {"action": "dive", "many": []}
    assert facts["v1"].segments == ()
    assert (facts["v2"].labels, facts["v2"].segments, facts["v2"].fps) == ({}, None, None)
    everything = _facts(tmp_path / "m.parquet", "frames", None)["v0"].segments or ()
    assert [(s.start_frame, s.stop_frame, s.label) for s in everything] == [
        (0, 2, "chase"),
        (2, 3, "other"),
        (4, 6, "sniff"),
    ]


@pytest.mark.parametrize(
    ("task", "background", "message"),
    [
        ("action", None, "--task is 'action'; with labels a frame there are: frames"),
        (None, "nothing", "--background is 'nothing'; allowed: other, chase, sniff"),
    ],
)
def test_labels_that_are_not_there(tmp_path: Path, task: str | None, background: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _facts(manifest(tmp_path / "m.parquet"), task, background)


def test_export(store: Store, tmp_path: Path) -> None:
    fill(store, 0, done=[0, 1, 3], failed=[2])
    result = run(store.path, "--to", "npy", "--out", tmp_path / "out", "--pool", "mean")
    assert result.exit_code == 0
    assert f"3 rows of 3 videos → {tmp_path / 'out'}" in result.stdout
    assert "note: 7 videos are left out" in result.stderr
    assert "note: v2: none of its rows is done" in result.stderr
    assert np.load(tmp_path / "out" / "v3.npy")[0, 0] == 3
    again = ["--to", "npy", "--out", tmp_path / "out", "--pool", "mean", "--overwrite", "--json"]
    plain = json.loads(run(store.path, *again, "--manifest", manifest(tmp_path / "m.parquet")).stdout)
    assert (plain["videos"], plain["rows"], plain["missing"]["v2"], plain["format"]) == (3, 3, 1, "npy")
    assert json.loads((tmp_path / "out" / "v1.json").read_text())["labels"] == {"action": "dive", "many": []}


def test_options_about_labels_need_a_manifest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add --manifest"):
        run(store.path, "--to", "npy", "--out", tmp_path / "out", "--pool", "mean", "--background", "x")
