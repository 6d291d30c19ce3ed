"""Commands as they are typed."""

from __future__ import annotations

import typer
from typer.testing import CliRunner, Result

from fouls.errors import FoulsError


class Typed:
    """Some of the commands, run in this process."""

    def __init__(self, app: typer.Typer) -> None:
        self.app = app

    def run(self, line: str) -> Result:
        """What comes of a line."""
        return CliRunner().invoke(self.app, line.split())

    def error_of(self, line: str) -> str:
        """The one line that a command which can't work ends with."""
        result = self.run(line)
        assert isinstance(result.exception, FoulsError), result.output
        message = str(result.exception)
        assert "\n" not in message
        return message
