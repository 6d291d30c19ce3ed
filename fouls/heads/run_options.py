"""What can be chosen about a run; what is left open is resolved from stores and manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from fouls.errors import ConfigError
from fouls.heads.head import HeadConfig, check_choice
from fouls.heads.keypoints import PoseKind
from fouls.heads.losses import LossConfig
from fouls.heads.mlp import MlpConfig
from fouls.heads.options import build
from fouls.heads.registry import head_name, make_head_config
from fouls.heads.train_config import TrainConfig

DEFAULT_HEAD = "mlp"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What can be chosen about a run; what is left open is resolved from store and manifest."""

    head: HeadConfig = field(default_factory=MlpConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    pools: tuple[str, ...] = ()
    """One for all stores, or one a store; empty: see :func:`fouls.heads.pool.choose_pool`."""
    tasks: tuple[str, ...] = ()
    """Empty: all tasks of the manifest."""
    augmented: bool = False
    """Every epoch takes a random augmented pass of each sample; valid is measured on the plain one."""
    pose: PoseKind | None = None
    """Features of the manifest's keypoints beside the stores', frame by frame."""
    train_split: str = "train"
    valid_split: str = "valid"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.pose is not None:
            check_choice("pose", self.pose, PoseKind)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Options from plain data: the fields by name, ``head`` with its ``name`` and options; the rest by default.

        Raises:
            ConfigError: an option that does not exist, or a value that is not allowed.
        """
        rest = dict(plain)
        head = rest.pop("head", {})
        if isinstance(head, str):
            head = {"name": head}
        if not isinstance(head, Mapping):
            raise ConfigError(f"head is {head!r}; it must be a name, or a section with a name and options")
        head = dict(head)
        name = head.pop("name", DEFAULT_HEAD)
        return dataclasses.replace(build(cls, rest, "the run"), head=make_head_config(name, head))

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`."""
        plain = dataclasses.asdict(self)
        plain["head"] = {"name": head_name(self.head), **plain["head"]}
        plain |= {name: list(value) for name, value in plain.items() if isinstance(value, tuple)}
        return plain
