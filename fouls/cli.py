"""The command line: the commands in one place, and one line for every error that the user can mend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fouls import __version__
from fouls.commands import console, manifest
from fouls.commands.backbones import backbones
from fouls.commands.bench import bench
from fouls.commands.classify import classify
from fouls.commands.ensemble import ensemble
from fouls.commands.evaluate import evaluate
from fouls.commands.evaluate_mvfoul import evaluate_mvfoul
from fouls.commands.export import export
from fouls.commands.extract import extract
from fouls.commands.migrate import migrate
from fouls.commands.predict import predict
from fouls.commands.store import failures, status
from fouls.commands.sweep import sweep
from fouls.commands.train_head import train_head
from fouls.commands.verify import verify
from fouls.errors import FoulsError

app = typer.Typer(
    name="fouls",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Decode every video once, push it once through a frozen backbone, then train heads from the cache.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fouls {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before the command."""


app.add_typer(manifest.app, name="manifest")
for command in (
    *(backbones, extract, status, failures, verify, export, migrate, bench),
    *(train_head, sweep, ensemble, evaluate, evaluate_mvfoul, predict, classify),
):
    app.command()(command)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for everything; an older demo there goes.")] = Path(
        "fouls-demo"
    ),
) -> None:
    """All of it on small videos that it makes itself."""
    from fouls.demo.run import run_demo

    run_demo(out, run_command)


def run_command(arguments: list[str]) -> int:
    """Run one command line in this process.

    Returns:
        Its exit status.
    """
    status = app(args=arguments, standalone_mode=False)
    return status if isinstance(status, int) else 0


def main() -> None:
    """Run the command line; the console script ``fouls``."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, standalone_mode=True)
    except FoulsError as error:
        if debug:
            raise
        typer.echo(f"error: {console.printable(str(error))}", err=True)
        sys.exit(error.exit_code)
