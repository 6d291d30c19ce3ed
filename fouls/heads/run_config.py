"""What decides a run, resolved: its ``config.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

from fouls.cache.spec import Spec
from fouls.heads.head import Head, HeadConfig
from fouls.heads.losses import LossConfig
from fouls.heads.registry import head_name, make_head_config
from fouls.heads.tasks import Task
from fouls.heads.train import TrainConfig


@dataclass(frozen=True, kw_only=True)
class StoreReference:
    """The features that a head was trained on."""

    path: str
    fingerprint: str
    pool: str
    pool_shape: tuple[int, ...]
    """Of one row, such as (768,) or (8, 768)."""
    spec: Spec

    @property
    def clips_are_steps(self) -> bool:
        """Whether the clips of a video are time steps of one track."""
        return self.spec.sampling.kind in ("dense", "stream")


@dataclass(frozen=True, kw_only=True)
class ManifestReference:
    """The labels that a head was trained on."""

    path: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that decides a run, resolved."""

    head: HeadConfig
    train: TrainConfig
    loss: LossConfig
    tasks: tuple[Task, ...]
    store: StoreReference
    manifest: ManifestReference
    train_split: str
    valid_split: str
    device: str
    versions: dict[str, str]
    """Of fouls and torch."""

    def to_json(self) -> bytes:
        """The config as indented JSON."""
        plain = dataclasses.asdict(self)
        plain["head"] = {"name": head_name(self.head), **plain["head"]}
        plain["store"]["spec"] = self.store.spec.to_dict()
        return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError, ConfigError: not such a config.
        """
        plain: dict[str, Any] = json.loads(data)
        head, store = dict(plain["head"]), dict(plain["store"])
        store |= {"spec": Spec.from_dict(store["spec"]), "pool_shape": tuple(store["pool_shape"])}
        plain |= {
            "head": make_head_config(head.pop("name"), head),
            "train": TrainConfig(**plain["train"]),
            "loss": LossConfig(**plain["loss"]),
            "tasks": tuple(Task(**{**task, "classes": tuple(task["classes"])}) for task in plain["tasks"]),
            "store": StoreReference(**store),
            "manifest": ManifestReference(**plain["manifest"]),
        }
        return cls(**plain)

    def build_head(self) -> Head:
        """The head with fresh weights."""
        return self.head.build(self.store.pool_shape[-1], self.tasks)
