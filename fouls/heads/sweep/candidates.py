"""The configurations of a sweep, resolved: features read once, and every one checked before any is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from fouls.cache.store import Store
from fouls.errors import ConfigError, FoulsError
from fouls.heads.data import Data, DataOptions
from fouls.heads.options import Plain
from fouls.heads.prepare import Prepared, prepare
from fouls.heads.run_options import RunOptions
from fouls.heads.sweep.grid import HEAD, Point
from fouls.heads.train import labels_to_balance
from fouls.objects.location import Location


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One configuration of a sweep."""

    number: int
    """From 1, in the order of the grid."""
    varied: Point
    """Option → value, of all that the sweep varies, as resolved; ``None`` where the head does not have it."""
    prepared: Prepared

    @property
    def name(self) -> str:
        """What it has of its own, for people: ``head mlp, train.lr 0.001``."""
        return name_of(self.varied)


def name_of(varied: Point) -> str:
    """Options and values, for people."""
    return ", ".join(f"{name} {as_text(value)}" for name, value in varied.items() if value is not None)


def as_text(value: Any) -> str:
    """A value as it stands in tables and pictures."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "+".join(map(as_text, value))
    return str(value)


def make_candidates(
    stores: Sequence[Store],
    manifest: pa.Table,
    points: Sequence[tuple[Point, Plain]],
    *,
    manifest_path: str | Location,
) -> list[Candidate]:
    """Resolve and check all configurations; what they read alike is read once.

    Args:
        stores: the features.
        manifest: a validated manifest.
        points: what each configuration has of its own, and all its options.
        manifest_path: where the manifest was read from.

    Raises:
        ConfigError: a configuration that can't work, with its place in the sweep; two that are the same; or nothing to
            choose the best on.
        RunError, StoreError: see :func:`fouls.heads.prepare.prepare`.
    """
    known: dict[DataOptions, Data] = {}
    candidates: list[Candidate] = []
    names = list(dict.fromkeys(name for point, _ in points for name in point))
    for number, (point, plain) in enumerate(points, start=1):
        where = f"configuration {number} of {len(points)} ({name_of(point)})"
        try:
            options = RunOptions.from_dict(plain)
            prepared = prepare(stores, manifest, options, manifest_path=manifest_path, known=known)
            _check(prepared)
        except FoulsError as error:
            raise type(error)(f"{where}: {error}") from error
        if not len(prepared.valid):
            raise ConfigError(
                f"no labelled sample in split {options.valid_split!r} to choose the best on: name another "
                "--valid-split, or set a share of train aside with --valid-fraction 0.2"
            )
        for other in candidates:
            if other.prepared.options == prepared.options:
                raise ConfigError(f"{where} is the same as configuration {other.number}: leave one out")
        varied = {name: _resolved(prepared.options, name) for name in names}
        candidates.append(Candidate(number=number, varied=varied, prepared=prepared))
    return candidates


def _check(prepared: Prepared) -> None:
    """Refuse what training would refuse."""
    config, samples = prepared.config, prepared.samples
    with torch.random.fork_rng([]):
        head = config.build_head()
    steps = samples.num_steps
    if head.reduces:
        x = torch.zeros(1, steps, config.form.dim)
        steps = head.reduce(x, torch.ones(1, steps, dtype=torch.bool))[0].shape[1]
    config.train.mixing.check_steps(steps)
    labels_to_balance(samples.select(prepared.train), config.tasks, config.train)


def _resolved(options: Plain, name: str) -> Any:
    """The value of a dotted option, ``None`` where there is none; lists of one value are that value."""
    value: Any = options
    for part in (f"{HEAD}.name" if name == HEAD else name).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value[0] if isinstance(value, list) and len(value) == 1 else value
