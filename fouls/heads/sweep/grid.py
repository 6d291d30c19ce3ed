"""What a sweep varies: from lists of values to one set of options a configuration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fouls.errors import ConfigError
from fouls.heads.options import Plain, merge, nested

Point = dict[str, Any]
"""Dotted option → value, such as ``{"head": "linear", "train.lr": 1e-3}``: what one configuration has of its own."""

HEAD = "head"
"""The option that names the head; the others of its section are ``head.NAME``."""

MAX_POINTS = 10_000

_FIXED = ("features", "manifest", "tasks", "train_split", "valid_split", "device", "train.valid_fraction")


def parse_axis(text: str) -> tuple[str, list[Any]]:
    """An option and its values from ``NAME=VALUE,VALUE``; values are read as YAML.

    Raises:
        ConfigError: there is no ``=``, or the values can't be read.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--grid {text!r}: it must be NAME=VALUE,VALUE, such as train.lr=1e-4,1e-3")
    name = HEAD if name.strip() == f"{HEAD}.name" else name.strip()
    return name, parse_values(values, f"--grid {name}")


def parse_values(text: str, where: str) -> list[Any]:
    """Values with commas between them, read as YAML.

    Raises:
        ConfigError: they can't be read.
    """
    try:
        values: list[Any] = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {text!r} can't be read as values with commas between them") from error
    return values


def read_section(section: Any) -> tuple[dict[str, list[Any]], list[Point]]:
    """The section ``sweep`` of a config file: ``grid``, option → values, and ``runs``, a list of options.

    Raises:
        ConfigError: it is something else.
    """
    if section is None:
        return {}, []
    if not isinstance(section, Mapping) or set(section) - {"grid", "runs"}:
        raise ConfigError(f"sweep is {section!r}; it must be a section with grid (option: values) or runs (a list)")
    grid, runs = section.get("grid") or {}, section.get("runs") or []
    if not isinstance(grid, Mapping):
        raise ConfigError(f"sweep.grid is {grid!r}; it must be a mapping of options to lists, such as train.lr: [1e-3]")
    if not isinstance(runs, list) or not all(isinstance(run, Mapping) and run for run in runs):
        raise ConfigError(f"sweep.runs is {runs!r}; it must be a list of options, such as - {{train.lr: 1e-3}}")
    axes = {name: values if isinstance(values, list) else [values] for name, values in flat(grid).items()}
    return axes, [flat(run) for run in runs]


def flat(plain: Mapping[str, Any]) -> Point:
    """Options of sections under their dotted names; ``head.name`` is ``head``."""
    found: Point = {}
    for name, value in plain.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": of_inner for inner, of_inner in flat(value).items()}
        else:
            found[str(name)] = value
    return {HEAD if name == f"{HEAD}.name" else name: value for name, value in found.items()}


def make_points(axes: Mapping[str, Sequence[Any]], runs: Sequence[Point]) -> list[Point]:
    """Every combination of the values of all axes; with a list of runs, each of those with every combination.

    The last axis varies fastest.

    Args:
        axes: dotted option → values.
        runs: options of single configurations; empty: the grid alone.

    Raises:
        ConfigError: nothing varies, an axis is empty or also stands in a run, a value is there twice, an option must
            be the same for all, or there are more than :data:`MAX_POINTS`.
    """
    axes = {HEAD if name == f"{HEAD}.name" else name: list(values) for name, values in axes.items()}
    for name, values in axes.items():
        if not values:
            raise ConfigError(f"the grid has no value for {name}: give one at least, such as --grid {name}=1,2")
        repeated = [value for place, value in enumerate(values) if value in values[:place]]
        if repeated:
            raise ConfigError(f"the grid has {name} = {repeated[0]} twice; every value counts once")
    for name in (*axes, *(name for run in runs for name in run)):
        if name in _FIXED:
            raise ConfigError(
                f"{name} can't be swept: scores are compared on the same samples and tasks; {', '.join(_FIXED)} are "
                "the same for all configurations"
            )
    for place, run in enumerate(runs, start=1):
        both = [name for name in run if name in axes]
        if both:
            raise ConfigError(f"sweep.runs, number {place}, and the grid both say {both[0]}: leave one out")
    count = math.prod(len(values) for values in axes.values()) * (len(runs) or 1)
    if not axes and not runs:
        raise ConfigError("nothing to sweep over: give values, such as --lr 1e-4,1e-3 or --grid train.seed=0,1,2")
    if count > MAX_POINTS:
        raise ConfigError(f"the sweep has {count:,} configurations, more than {MAX_POINTS:,}: take fewer values")
    grid = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [run | point for run in (runs or [{}]) for point in grid]


def configure(base: Plain, typed: Plain, point: Point) -> Plain:
    """The options of one configuration: those of a file, on top what was typed for all, on top its own.

    Another head than the file's drops what the file says in its section ``head``; what was typed is for all heads.
    """
    of_file, of_all = _section(base), _section(typed)
    head = point.get(HEAD, of_all.get("name"))
    if head is not None and of_file.get("name") not in (None, head):
        of_file = {}
    plain = merge({**base, HEAD: of_file}, {**typed, HEAD: of_all})
    for name, value in point.items():
        plain = merge(plain, nested(f"{HEAD}.name" if name == HEAD else name, value))
    return plain


def _section(plain: Plain) -> Plain:
    head = plain.get(HEAD) or {}
    return {"name": head} if isinstance(head, str) else dict(head)
