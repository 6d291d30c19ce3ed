"""Options as plain data, from a YAML file, a table of defaults or the command line, into typed configurations."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from fouls.errors import ConfigError

T = TypeVar("T")

Plain = dict[str, Any]
"""Section or option → value; a section is such a dictionary itself."""


def read_options(path: Path) -> Plain:
    """The options in a YAML file.

    Raises:
        ConfigError: it is not there, no YAML, or no mapping.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--config {path} can't be read ({reason}); see docs/heads.md for an example") from error
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise ConfigError(f"--config {path} holds {type(plain).__name__}, not options; see docs/heads.md")
    return plain


def write_options(plain: Mapping[str, Any]) -> bytes:
    """Options as YAML."""
    text: str = yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)
    return text.encode()


def parse_settings(settings: Sequence[str]) -> Plain:
    """Options from ``section.option=value`` texts; values are read as YAML.

    Raises:
        ConfigError: one without ``=``, or whose value is no YAML.
    """
    merged: Plain = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {text!r}: it must be NAME=VALUE, such as train.warmup_epochs=5")
        try:
            merged = merge(merged, nested(name.strip(), yaml.safe_load(value)))
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text!r}: {value!r} can't be read") from error
    return merged


def nested(name: str, value: Any) -> Plain:
    """``a.b`` and a value as ``{"a": {"b": value}}``."""
    for part in reversed(name.split(".")):
        value = {part: value}
    found: Plain = value
    return found


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Plain:
    """Options with others on top; sections are merged, all else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def build(kind: type[T], plain: Mapping[str, Any], where: str) -> T:
    """A dataclass from plain options; what is left out takes its default.

    Args:
        kind: a dataclass whose fields are numbers, texts, choices, lists of them, mappings, or such dataclasses.
        plain: field → value.
        where: names the section in messages.

    Raises:
        ConfigError: an option that does not exist, or a value of another kind.
    """
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{where} is {plain!r}; it must be a section with options")
    known = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in plain:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}"
            raise ConfigError(f"{where} has no option {name!r}; {hint}")
    return kind(**{name: _value(known[name], value, f"{where}.{name}") for name, value in plain.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(option for option in arguments if option is not type(None)), value, where)
    if origin is Literal:
        return value if isinstance(value, str) else str(value).lower()  # YAML reads none, true … as other types
    if origin is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_value(arguments[0], each, where) for each in values)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}; it must be a mapping of names to values")
        return {str(name): _value(arguments[1], each, f"{where}.{name}") for name, each in value.items()}
    if dataclasses.is_dataclass(kind):
        return build(typing.cast(type, kind), value, where)
    return _scalar(kind, value, where)


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
    elif kind in (int, float) and not isinstance(value, bool):
        try:
            number = float(value)  # texts too: YAML reads 1e-3 as one
            if kind is float:
                return number
            if number == int(number):
                return int(number) if not isinstance(value, int) else value
        except (TypeError, ValueError, OverflowError):
            pass
    elif kind is str and isinstance(value, str | int | float):
        return str(value)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    raise ConfigError(f"{where} is {value!r}; it must be {names.get(kind, kind.__name__)}")
