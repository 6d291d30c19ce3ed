"""``--fallback``: the next backbone where the weights of one can't be had, and never without saying so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from fouls.cache.spec import Precision
from fouls.cache.store import open_store
from fouls.errors import BackboneError, ConfigError, WeightsUnavailableError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.registry import find_entry
from fouls.pipeline.devices import Placement, default_precision, visible_gpus
from fouls.pipeline.executors.recipe import BackboneRecipe, absolute_name, absolute_weights
from fouls.pipeline.options import ExtractOptions


@dataclass(frozen=True, kw_only=True)
class FailedAttempt:
    """A backbone whose weights can't be had; as a string one line for the user."""

    backbone: str
    reason: str
    following: str
    """What is tried next."""

    def __str__(self) -> str:
        return f"{self.backbone} is not used ({self.reason}); trying {self.following} next"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The backbone that is used."""

    options: ExtractOptions
    """Those of the user with the backbone that is used in them: what names the store and is remembered in it."""
    recipe: BackboneRecipe
    backbone: Backbone


def warn(attempt: FailedAttempt) -> None:
    """Say it as Python does."""
    warnings.warn(str(attempt), stacklevel=2)


def choose_backbone(
    options: ExtractOptions, placement: Placement, on_fallback: Callable[[FailedAttempt], None] = warn
) -> Chosen:
    """Load the backbone that is asked for, or the first of the fallbacks whose weights can be had.

    Only weights that can't be had lead on to the next: damaged ones, and options that can't work, end the search.

    Args:
        options: as they were given.
        placement: where the backbone will run.
        on_fallback: called for each backbone that can't be used, before the next is tried.

    Raises:
        BackboneError: a name that does not exist, or a fallback without a pool that is asked for.
        WeightsUnavailableError: the weights of none can be had.
        WeightsError: those of one are damaged, or don't fit.
    """
    attempts = [options, *(_fallback(options, name) for name in options.fallback)]
    for attempt, following in zip(attempts, [*options.fallback, None], strict=True):
        recipe = make_recipe(attempt, placement)
        try:
            backbone = recipe.load("cpu" if placement.on_cluster else placement.device)
        except WeightsUnavailableError as error:
            if not options.fallback:
                raise
            if following is None:
                names = ", ".join(attempt.backbone for attempt in attempts)
                raise WeightsUnavailableError(
                    f"no weights can be had of any of {names}; of the last: {error}"
                ) from error
            on_fallback(FailedAttempt(backbone=attempt.backbone, reason=str(error), following=following))
        else:
            return Chosen(options=attempt, recipe=recipe, backbone=backbone)
    raise AssertionError("the last attempt returns or raises")


def make_recipe(options: ExtractOptions, placement: Placement) -> BackboneRecipe:
    """How every process that extracts loads its backbone.

    Raises:
        ConfigError: the precision of another machine's GPUs is not given.
    """
    precision = options.precision or _stored_precision(options)
    remote = placement.scheduler is not None and placement.device.startswith("cuda")
    if remote and precision is None and not visible_gpus():
        raise ConfigError(
            "this machine has no GPU that could tell which precision those of the workers have: add --precision bf16 "
            "(Ampere and later), fp16 or fp32"
        )
    return BackboneRecipe(
        name=absolute_name(options.backbone),
        weights=absolute_weights(options.weights),
        pretrained_source=options.pretrained_source,
        num_frames=options.num_frames,
        precision=precision or default_precision(placement.device),
        device=placement.device,
        compile=options.compile,
    )


def _stored_precision(options: ExtractOptions) -> Precision | None:
    """That of the store, where it exists: it is gone on with as it was begun, whatever this machine is good at."""
    return open_store(options.store).spec.precision if (options.store / "zarr.json").exists() else None


def _fallback(options: ExtractOptions, name: str) -> ExtractOptions:
    """The same extraction with another backbone and its own default weights."""
    entry = find_entry(name)
    for pool in options.pools:
        if entry.pools and pool not in entry.pools:
            raise BackboneError(f"--fallback {name} has no pool {pool!r}; it has {', '.join(entry.pools)}")
    return replace(options, backbone=name, weights=None, pretrained_source="auto", fallback=())
