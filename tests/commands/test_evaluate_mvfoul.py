"""``fouls evaluate-mvfoul`` as it is typed, on the files that the challenge's own program was run on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fouls.commands.evaluate_mvfoul import evaluate_mvfoul
from fouls.errors import FoulsError

app = typer.Typer()
app.command()(evaluate_mvfoul)

KEYS = [
    "accuracy_offence_severity",
    "accuracy_action",
    "balanced_accuracy_offence_severity",
    "balanced_accuracy_action",
    "leaderboard_value",
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def evaluator(shared: Path) -> Path:
    return shared / "mvfoul" / "evaluator"


def test_json_has_the_official_values(evaluator: Path) -> None:
    for folder in sorted(evaluator.iterdir()):
        result = run(folder / "annotations.json", folder / "predictions.json", "--json")
        assert result.exit_code == 0, result.output
        plain, expected = json.loads(result.stdout), json.loads((folder / "expected.json").read_text())
        improved = plain.pop("corrected")
        assert json.dumps(plain) == json.dumps(expected)
        assert list(improved) == KEYS
        assert not any(math.isnan(value) for value in improved.values())


def test_torch_is_not_loaded(evaluator: Path) -> None:
    files = [str(evaluator / "dev_full" / name) for name in ("annotations.json", "predictions.json")]
    code = "import sys; from fouls import cli; cli.run_command(sys.argv[1:]); print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, "evaluate-mvfoul", *files], capture_output=True, text=True, check=True
    )
    assert "leaderboard_value" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "False"


def test_the_table_has_both(evaluator: Path) -> None:
    folder = evaluator / "dev_missing"
    expected = json.loads((folder / "expected.json").read_text())
    result = run(folder / "annotations.json", folder / "predictions.json")
    assert result.exit_code == 0, result.output
    assert "note: 16 of 211 actions have no prediction, which counts as wrong" in result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if "accuracy" in line or "leaderboard" in line]
    assert [line[1] for line in lines] == KEYS
    assert [line[3] for line in lines] == [f"{value:.2f}" for value in expected.values()]
    assert lines[2][5] == "52.90"


def test_absent_classes_are_said(evaluator: Path) -> None:
    folder = evaluator / "dev_absent_class"
    result = run(folder / "annotations.json", folder / "predictions.json")
    assert result.exit_code == 0, result.output
    assert (
        "note: task action: no examples of High leg, Pushing, Elbowing, Dive; the official mean is NaN" in result.stderr
    )
    assert [line.split()[3] for line in result.stdout.splitlines() if "leaderboard" in line] == ["nan"]


ACTION = {"Action class": "Dive", "Offence": "Offence", "Severity": "1.0"}


def test_other_sets_are_noted(tmp_path: Path) -> None:
    files = {"Test": tmp_path / "a.json", "chall": tmp_path / "b.json", "test": tmp_path / "c.json"}
    for name, file in files.items():
        file.write_text(json.dumps({"Set": name, "Actions": {"0": ACTION}}))
    assert (
        "note: the annotations are of set 'Test', the predictions of set 'chall'"
        in run(*list(files.values())[:2]).stderr
    )
    assert "of set" not in run(files["Test"], files["test"]).stderr


@pytest.mark.parametrize(
    ("annotations", "predictions", "message"),
    [
        (None, {"Actions": {"0": ACTION}}, "annotations.json: can't be read (No such file or directory)"),
        ("{", {"Actions": {"0": ACTION}}, "annotations.json: not JSON (Expecting"),
        ({"Actions": {"0": ACTION}}, [1], "predictions.json: no object 'Actions'"),
        ({"Actions": {"0": ACTION}}, {"Actions": {"7": ACTION}}, "predictions.json: action '7' is not in"),
        ({"Actions": {"0": {**ACTION, "Action class": ""}}}, {"Actions": {"0": ACTION}}, "no action carries a label"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, annotations: Any, predictions: Any, message: str) -> None:
    for name, content in (("annotations.json", annotations), ("predictions.json", predictions)):
        if content is not None:
            (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    result = run(tmp_path / "annotations.json", tmp_path / "predictions.json")
    assert isinstance(result.exception, FoulsError), result.output
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
