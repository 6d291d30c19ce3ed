"""What a process needs to build an engine of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fouls.cache.spec import Precision
from fouls.cache.store import open_store
from fouls.errors import WeightsError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.backbones.registry import HF_PREFIX
from fouls.pipeline.backbones.weights import PretrainedSource
from fouls.pipeline.engine import Engine, EngineOptions, Member


@dataclass(frozen=True, kw_only=True)
class BackboneRecipe:
    """The arguments of :func:`fouls.load_backbone`, as they were typed; they pickle where a backbone should not."""

    name: str
    weights: str | None = None
    pretrained_source: PretrainedSource = "auto"
    num_frames: int | None = None
    precision: Precision = "fp32"
    device: str = "cpu"
    compile: bool = False

    def load(self, device: str | None = None) -> Backbone:
        """Load the backbone, on ``device`` instead of the recipe's where one is given."""
        return load_backbone(
            self.name,
            weights=self.weights,
            device=device or self.device,
            precision=self.precision,
            pretrained_source=self.pretrained_source,
            num_frames=self.num_frames,
            compile=self.compile,
        )


def absolute_weights(weights: str | None) -> str | None:
    """``--weights`` that are a folder or file here, for workers that run in another folder."""
    return str(Path(weights).resolve()) if weights is not None and Path(weights).exists() else weights


def absolute_name(backbone: str) -> str:
    """``hf:FOLDER`` of a folder here, likewise."""
    folder = backbone.removeprefix(HF_PREFIX)
    return f"{HF_PREFIX}{absolute_weights(folder)}" if folder != backbone else backbone


@dataclass(frozen=True, kw_only=True)
class MemberRecipe:
    """A store that an engine fills, before its backbone is loaded."""

    store: str
    """The store's folder, absolute: workers may run elsewhere."""
    backbone: BackboneRecipe
    batch_size: int

    def load(self, backbone: Backbone | None = None) -> Member:
        """Load the backbone, or take one that is loaded already.

        Raises:
            WeightsError: the weights that this machine has are not those of the store's spec.
        """
        store = open_store(self.store)
        loaded = backbone or self.backbone.load()
        if loaded.weights != store.spec.weights:
            raise WeightsError(
                f"the weights here have SHA-256 {loaded.weights.sha256[:12]}…, those of {self.store} have "
                f"{store.spec.weights.sha256[:12]}…: give every worker the same --weights"
            )
        return Member(store=store, backbone=loaded, batch_size=self.batch_size)


@dataclass(frozen=True, kw_only=True)
class EngineRecipe:
    """An engine, before it is built."""

    members: tuple[MemberRecipe, ...]
    options: EngineOptions

    def build(self, backbones: Sequence[Backbone] = ()) -> Engine:
        """Build the engine, with backbones that are loaded already where they are given, one for each store.

        Raises:
            WeightsError: the weights that this machine has are not those of a store's spec.
        """
        loaded: Sequence[Backbone | None] = backbones or [None] * len(self.members)
        members = [member.load(backbone) for member, backbone in zip(self.members, loaded, strict=True)]
        return Engine(members, self.options)
