"""What the commands print with: tables, progress with rate and time left, next steps.

Names of files, videos and classes may come from anywhere. Nothing that is printed here is read as markup, and no
character of it moves the cursor, changes a colour or turns the direction of writing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, the one that begins an escape sequence among them
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends, and what turns the direction of writing
    "\ud800-\udfff]"  # halves of a character, which can't be encoded
)


def printable(text: str) -> str:
    """Text on one line, with escapes for what a terminal would act on: ``\\x1b``, ``\\n``, ``\\u202e``."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def to_json(plain: Any, *, indent: int | None = None) -> str:
    """JSON with readable letters, and escapes for what a terminal would act on."""
    text = json.dumps(plain, ensure_ascii=False, indent=indent)
    return "\n".join(_UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in text.split("\n"))


def say(text: str, *, style: str = "") -> None:
    """One line on stdout."""
    out.print(Text(printable(text), style=style))


@contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; gives a function that advances it by n.

    Without a terminal the bar is printed once, when it ends.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fouls.commands.rate import RateColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(printable(description), total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)

        yield advance


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; columns whose cells are all numbers are right-aligned."""
    from rich.table import Table

    cells = [[("" if cell is None else cell) for cell in row] for row in rows]
    grid = Table(
        title=None if title is None else Text(printable(title), style="bold"), title_justify="left", header_style="bold"
    )
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[index], int | float) for row in cells)
        grid.add_column(Text(printable(column)), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(printable(_format(cell))) for cell in row))
    out.print(grid)


def _format(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def next_step(text: str) -> None:
    """The last line of a command: what to do now."""
    out.print(Text.assemble(("next: ", "bold"), printable(text)))


def warn(text: str) -> None:
    """One line on stderr, for what the user has to know although the command goes on."""
    err.print(Text.assemble(("note: ", "bold yellow"), printable(text)))
