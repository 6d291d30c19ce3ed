"""What decides a run, resolved: its ``config.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

from fouls.cache.spec import Spec
from fouls.cache.store import Store
from fouls.heads.batch import InputForm
from fouls.heads.data import STEPS_IN_TIME, DataOptions
from fouls.heads.head import Head, HeadConfig
from fouls.heads.keypoints import PoseKind
from fouls.heads.losses import LossConfig
from fouls.heads.registry import head_name, make_head_config
from fouls.heads.tasks import Task
from fouls.heads.train_config import TrainConfig
from fouls.objects.location import location


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
        return self.spec.sampling.kind in STEPS_IN_TIME

    @classmethod
    def of(cls, store: Store, pool: str) -> Self:
        """The reference to a pool of a store."""
        return cls(
            path=str(store.path),
            fingerprint=store.fingerprint,
            pool=pool,
            pool_shape=store.pools[pool],
            spec=store.spec,
        )


@dataclass(frozen=True, kw_only=True)
class ManifestReference:
    """The labels that a head was trained on."""

    path: str
    fingerprint: str
    keypoints: tuple[str, ...] = ()
    """Names, in their order; empty where the manifest has none."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that decides a run, resolved."""

    head: HeadConfig
    train: TrainConfig
    loss: LossConfig
    tasks: tuple[Task, ...]
    form: InputForm
    stores: tuple[StoreReference, ...]
    manifest: ManifestReference
    train_split: str
    valid_split: str
    augmented: bool
    pose: PoseKind | None
    device: str
    versions: dict[str, str]
    """Of fouls and torch."""

    def to_json(self) -> bytes:
        """The config as indented JSON."""
        plain = dataclasses.asdict(self)
        plain["head"] = {"name": head_name(self.head), **plain["head"]}
        for store, reference in zip(plain["stores"], self.stores, strict=True):
            store["spec"] = reference.spec.to_dict()
        return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError, ConfigError: not such a config.
        """
        plain: dict[str, Any] = json.loads(data)
        head, form, manifest = dict(plain["head"]), dict(plain["form"]), dict(plain["manifest"])
        form |= {"widths": tuple(form["widths"]), "grid": None if form["grid"] is None else tuple(form["grid"])}
        manifest |= {"keypoints": tuple(manifest["keypoints"])}
        plain |= {
            "head": make_head_config(head.pop("name"), head),
            "train": TrainConfig.from_dict(plain["train"]),
            "loss": LossConfig.from_dict(plain["loss"]),
            "tasks": tuple(Task(**{**task, "classes": tuple(task["classes"])}) for task in plain["tasks"]),
            "form": InputForm(**form),
            "stores": tuple(_store_reference(store) for store in plain["stores"]),
            "manifest": ManifestReference(**manifest),
        }
        return cls(**plain)

    def build_head(self) -> Head:
        """The head with fresh weights."""
        return self.head.build(self.form, self.tasks)

    @property
    def features_name(self) -> str:
        """What the stores are called, for the names of runs: ``videomae``, ``videomae+mvit``."""
        return "+".join(location(store.path).resolve().name for store in self.stores)

    def data_options(self) -> DataOptions:
        """What is to be read for this run."""
        return DataOptions(
            pools=tuple(store.pool for store in self.stores),
            tasks=self.tasks,
            augmented=self.augmented,
            pose=self.pose,
        )


def _store_reference(plain: dict[str, Any]) -> StoreReference:
    typed = {"spec": Spec.from_dict(plain["spec"]), "pool_shape": tuple(plain["pool_shape"])}
    return StoreReference(**(plain | typed))
