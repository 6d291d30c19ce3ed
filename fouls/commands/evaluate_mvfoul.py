"""``fouls evaluate-mvfoul``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fouls.commands import console
from fouls.errors import ConfigError

if TYPE_CHECKING:
    from fouls.heads.metrics.mvfoul import Match


def evaluate_mvfoul(
    annotations: Annotated[Path, typer.Argument(help="The annotations.json of a split.", show_default=False)],
    predictions: Annotated[
        Path, typer.Argument(help="A prediction file, such as runs/NAME/mvfoul_test.json.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the values as JSON.")] = False,
) -> None:
    """Measure a MVFoul prediction file, whoever made it, as the challenge's own program does.

    Beside the official values stand corrected ones, without the program's quirks.

    fouls evaluate-mvfoul Test/annotations.json runs/videomae-mlp-1/mvfoul_test.json
    """
    from fouls.heads.metrics.mvfoul import corrected, match_actions, official

    annotated, predicted = _read(annotations), _read(predictions)
    matches = match_actions(annotated, predicted, places=(str(annotations), str(predictions)))
    if not matches:
        raise ConfigError(f"{annotations}: no action carries a label that counts, so there is nothing to measure")
    _warn_of_sets(annotated, predicted)
    _warn_of_missing(matches)
    official_values, corrected_values = official(matches), corrected(matches)
    if as_json:
        typer.echo(json.dumps({**official_values, "corrected": corrected_values}, indent=2))
        return
    rows = [[name, f"{value:6.2f}", f"{corrected_values[name]:6.2f}"] for name, value in official_values.items()]
    console.table(f"{len(matches):,} actions, in %", ["", "official", "corrected"], rows)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from error


def _warn_of_sets(annotations: Any, predictions: Any) -> None:
    """Both files say which split they are of, in whatever spelling."""
    from fouls.manifests.splits import canonical_split

    names = [str(document.get("Set", "")) for document in (annotations, predictions)]
    if all(names) and canonical_split(names[0]) != canonical_split(names[1]):
        console.warn(f"the annotations are of set {names[0]!r}, the predictions of set {names[1]!r}")


def _warn_of_missing(matches: list[Match]) -> None:
    from fouls.heads.metrics.mvfoul import CLASSES

    missing = sum(not match.predicted for match in matches)
    if missing:
        console.warn(f"{missing:,} of {len(matches):,} actions have no prediction, which counts as wrong")
    for task, names in CLASSES.items():
        there = {match.labels[task] for match in matches}
        absent = [name for index, name in enumerate(names) if index not in there]
        if absent:
            console.warn(
                f"task {task}: no examples of {', '.join(absent)}; the official mean is NaN, the corrected one that "
                f"of the other {len(there)} classes"
            )
