"""Names from strangers do nothing to a terminal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fouls import cli
from fouls.cache.layout import resize_arrays
from fouls.cache.rows import append_rows
from fouls.cache.store import Store
from fouls.commands import console
from fouls.commands.store import failures, status
from fouls.commands.verify import verify
from tests.cache.conftest import fill, index, make_store, store, templates
from tests.cache.test_verify import edit

__all__ = ["make_store", "store", "templates"]

NASTY = "[red]x[/red] \x1b]0;title\x07\x1b[2J \x9b31m \r\n \u202egpj.exe :smile: [/nonsense]"
HARMLESS = "[red]x[/red] \\x1b]0;title\\x07\\x1b[2J \\x9b31m \\r\\n \\u202egpj.exe :smile: [/nonsense]"


def acts(text: str) -> set[str]:
    """The characters in a text on which a terminal acts, but for line ends."""
    return {character for character in text if character != "\n" and console.printable(character) != character}


@pytest.fixture
def nasty(make_store: Any) -> Store:
    """A store of one video with such a name, which has failed with such a message."""
    made: Store = make_store(num_videos=0)
    append_rows(made.path, index(0, [NASTY]))
    resize_arrays(made.path, 1)
    fill(made, 0, done=[], failed=[0])
    edit(made.path / "ledger" / "00000000.json", lambda record: record.pop("checksum"))
    edit(
        made.path / "ledger" / "00000000.json",
        lambda record: record["failures"][0].update(video_id=NASTY, message=NASTY),
    )
    return made


@pytest.mark.parametrize("arguments", [["failures"], ["status"], ["verify"], ["verify", "--recompute", "1"]])
def test_names_from_a_store_do_nothing_to_a_terminal(nasty: Store, arguments: list[str]) -> None:
    (nasty.path / "\x1b[2J[red].txt").write_text("a strange file")
    app = typer.Typer()
    for command in (failures, status, verify):
        app.command()(command)
    runner = CliRunner(env={"COLUMNS": "1000"})
    result = runner.invoke(app, [arguments[0], str(nasty.path), *arguments[1:]])
    assert acts(result.stdout + result.stderr) == set()
    if arguments[0] == "failures":
        assert result.stdout.count(HARMLESS) == 2
    if arguments == ["verify"]:
        assert "\\x1b[2J[red].txt" in result.stdout


def test_what_the_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(NASTY)
    console.table(NASTY, [NASTY], [[NASTY]])
    console.next_step(NASTY)
    console.warn(NASTY)
    with console.progress(NASTY, 1, "rows") as advance:
        advance(1)
    printed = capsys.readouterr()
    assert acts(printed.out + printed.err) == set()
    assert (printed.out + printed.err).count("[red]x[/red]") == 7
    assert console.printable("Größe 猫 🙂 – ok") == "Größe 猫 🙂 – ok"


def test_json_for_a_terminal_is_json() -> None:
    plain = {NASTY: [NASTY, "Größe", "\x7f\x85\ud800"], "n": 1.5}
    for indent in (None, 2):
        text = console.to_json(plain, indent=indent)
        assert acts(text) == set()
        assert json.loads(text) == plain
    assert "Größe" in console.to_json(plain)


def test_the_line_of_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["fouls", "status", "no\x1b[2J[red]where"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "no store at no\\x1b[2J[red]where: " in capsys.readouterr().err


def test_a_class_name_is_no_formula() -> None:
    from fouls.heads.figures.confusion import draw_confusion

    names = ["a$b_{", "$x$", "\\frac"]
    picture = draw_confusion(np.eye(3, dtype=np.int64), names, "t$i_{tle", "sub$t^{")
    assert picture.startswith(b"\x89PNG")
