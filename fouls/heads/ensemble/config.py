"""What an ensemble is: its ``ensemble.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fouls.errors import RunError, first_line
from fouls.heads.run_folder import ENSEMBLE
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class MemberReference:
    """One run of an ensemble."""

    run: str
    """Its folder."""
    weights_sha256: str
    """Of its ``weights.safetensors``: a run that is trained again is another one."""
    head: str
    features: tuple[str, ...]
    """The stores that it was trained on."""
    fingerprints: tuple[str, ...]
    """Of these."""
    pools: tuple[str, ...]
    """Of these."""
    manifest: str
    manifest_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """All that decides an ensemble."""

    members: tuple[MemberReference, ...]
    tasks: tuple[Task, ...]
    """Those that all members have, with the first one's order of classes."""
    weights: dict[str, list[float]]
    """Task → what each member's probabilities weigh, with sum 1."""
    fitted_on: str | None
    """The split whose labels decided the weights; ``None``: they were given."""
    left_out: dict[str, list[str]]
    """Task that not all members have → those that lack it."""
    version: str
    """Of fouls."""

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ConfigError: not such a config.
        """
        typed = {
            "members": tuple(_member(member) for member in plain["members"]),
            "tasks": tuple(Task(**{**task, "classes": tuple(task["classes"])}) for task in plain["tasks"]),
        }
        return cls(**(plain | typed))


def _member(plain: dict[str, Any]) -> MemberReference:
    typed = {name: tuple(plain[name]) for name in ("features", "fingerprints", "pools")}
    return MemberReference(**(plain | typed))


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """A folder with an ensemble."""

    path: Path
    config: EnsembleConfig


def is_ensemble(path: str | Path) -> bool:
    """Whether a folder holds an ensemble."""
    return (Path(path) / ENSEMBLE).exists()


def load_ensemble(path: str | Path) -> Ensemble:
    """Load an ensemble; its runs are not looked at.

    Args:
        path: its folder, such as ``runs/ensemble-1``.

    Raises:
        RunError: no ensemble there, or a damaged one.
    """
    path = Path(path)
    if not is_ensemble(path):
        raise RunError(f"no ensemble at {path}: `fouls ensemble RUN RUN` makes one")
    try:
        config = EnsembleConfig.from_dict(json.loads((path / ENSEMBLE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"the ensemble at {path} can't be read ({first_line(error)}): make it again") from error
    return Ensemble(path=path, config=config)
