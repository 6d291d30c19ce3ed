"""An extraction from beginning to end: resolve → plan → blocks → run, and what came of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from fouls.cache.layout import choose_block_rows, create_group, resize_arrays
from fouls.cache.ledger import BlockRecord
from fouls.cache.lock import exclusive
from fouls.cache.quarantine import Retry
from fouls.cache.rows import ROW_SCHEMA, append_rows, read_rows
from fouls.cache.spec import Spec
from fouls.cache.store import Store, open_store
from fouls.cache.summary import Summary, summarise
from fouls.errors import SpecMismatchError, StoreError
from fouls.files import remove_partial_files
from fouls.manifests.table import absolute_paths, read_manifest
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.devices import (
    Placement,
    default_batch_size,
    default_decode_workers,
    place,
)
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.executors.local import run_here
from fouls.pipeline.executors.recipe import BackboneRecipe, EngineRecipe
from fouls.pipeline.fallback import FailedAttempt, choose_backbone, warn
from fouls.pipeline.jobs import BlockJob, Work, find_work
from fouls.pipeline.options import ExtractOptions, resolve_spec
from fouls.pipeline.plan import known_videos, numbered, plan_rows
from fouls.pipeline.streaming import chains
from fouls.video.decoders import candidates

MAX_PASSES = 3
"""A pass may find that a block it wanted to add to is damaged; the next one does that block's other rows."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An extraction whose backbone is loaded and whose manifest is read; nothing is written yet."""

    options: ExtractOptions
    """As they were given; after a fallback with the backbone that is used."""
    placement: Placement
    recipe: BackboneRecipe
    backbone: Backbone
    spec: Spec
    manifest: pa.Table
    """The videos that this extraction is about."""
    manifest_videos: int
    """Videos of the whole manifest, whatever the limit."""

    @property
    def pool_shapes(self) -> dict[str, tuple[int, ...]]:
        """Pool → shape of a row."""
        return {pool: self.backbone.pools[pool] for pool in self.spec.pools}

    def engine_options(self, block_rows: int) -> EngineOptions:
        """How the engines work, for blocks of that many rows."""
        device = self.placement.device
        batch_size = self.options.batch_size or default_batch_size(device)
        return EngineOptions(
            batch_size=min(batch_size, block_rows),
            decoder=self.options.decoder,
            decode_workers=self.options.decode_workers or default_decode_workers(device, self.placement.engines),
            decode_timeout_seconds=self.options.decode_timeout_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What an extraction has done, read back from the disk."""

    new_rows: int
    """Rows that this run planned."""
    orphans: int
    """Rows left to do whose video no manifest names any more."""
    summary: Summary


def prepare(options: ExtractOptions, *, on_fallback: Callable[[FailedAttempt], None] = warn) -> Prepared:
    """Read the manifest, choose devices, load the backbone, resolve the spec; refuse what can't work.

    Args:
        options: what is asked for.
        on_fallback: called for each backbone whose weights can't be had, before the next is tried.

    Raises:
        FoulsError: anything that the user can mend, see ``fouls/errors.py``.
    """
    candidates(options.decoder)
    whole = read_manifest(options.manifest)
    placement = place(options.executor)
    chosen = choose_backbone(options, placement, on_fallback)
    options = chosen.options
    spec = resolve_spec(options, chosen.backbone)
    if (options.store / "zarr.json").exists():
        check_same_spec(open_store(options.store), spec)
    return Prepared(
        options=options,
        placement=placement,
        recipe=chosen.recipe,
        backbone=chosen.backbone,
        spec=spec,
        manifest=whole if options.limit is None else whole.slice(0, options.limit),
        manifest_videos=whole.num_rows,
    )


def check_same_spec(store: Store, spec: Spec) -> None:
    """Refuse to add to a store that was made with another spec.

    Raises:
        SpecMismatchError: with the differing fields, and what would work.
    """
    if store.fingerprint == spec.fingerprint:
        return
    differing = "; ".join(
        f"{name} is {there!r} there, {here!r} here" for name, (there, here) in store.spec.differences(spec).items()
    )
    free = store.path.with_name(f"{store.path.name}-{spec.fingerprint[:6]}")
    raise SpecMismatchError(
        f"{store.path} holds features of another spec ({differing}): add --out {free} to keep both, "
        f"or {_what_would_fit(store, spec)}"
    )


def _what_would_fit(store: Store, spec: Spec) -> str:
    there, here = store.spec.augmentation, spec.augmentation
    if replace(store.spec, augmentation=here) != spec or (there is None) == (here is None):
        return "give the options that the store was made with"
    return "leave --augment out" if there is None else "give the --augment options that the store was made with"


def plan(prepared: Prepared) -> tuple[pa.Table, int]:
    """The rows that the store does not have yet, and the rows of a block; nothing is written.

    Returns:
        New rows, and rows a block.
    """
    options = prepared.options
    exists = (options.store / "zarr.json").exists()
    rows, retired = read_rows(options.store) if exists else (ROW_SCHEMA.empty_table(), None)
    known = known_videos(rows, retired) if retired is not None else {}
    passes = options.augment.passes if options.augment else 0
    new = plan_rows(prepared.manifest, prepared.spec, known=known, passes=passes)
    if exists:
        block_rows = open_store(options.store).block_rows
        if options.block_rows not in (None, block_rows):
            raise StoreError(f"{options.store} has blocks of {block_rows} rows: leave --block-rows out")
    else:
        expected = new.num_rows * prepared.manifest_videos // max(1, prepared.manifest.num_rows)
        shapes, dtype = prepared.pool_shapes, prepared.spec.stored_dtype
        block_rows = options.block_rows or choose_block_rows(expected, shapes, dtype)
    last = int(rows["row"][-1].as_py()) if rows.num_rows else -1
    first_row = -(-(last + 1) // block_rows) * block_rows  # a planning starts at a block of its own
    return numbered(new, first_row), block_rows


def extract(
    prepared: Prepared,
    *,
    on_start: Callable[[Work], None] = lambda work: None,
    on_block: Callable[[BlockRecord, BlockJob], None] = lambda record, job: None,
) -> ExtractReport:
    """Plan what is new, do what is not done, and say what stands on the disk afterwards.

    Args:
        prepared: see :func:`prepare`.
        on_start: called once with what there is to do.
        on_block: called after each commit.

    Raises:
        StoreError: somebody else is filling the store.
        ExecutorError: workers keep dying.
    """
    path = prepared.options.store
    with exclusive(path):
        remove_partial_files(path)
        new_rows = _write_plan(prepared)
        store = open_store(path)
        work = _find(prepared, store, retry=prepared.options.retry)
        on_start(work)
        with ExitStack() as stack:
            run = _runner(prepared, store, stack) if work.jobs else None
            streams = prepared.spec.sampling.kind == "stream"
            for _ in range(MAX_PASSES):
                if run is None or not work.jobs:
                    break
                jobs = {job.block: job for job in work.jobs}
                for record in run(chains(work.jobs) if streams else [(job,) for job in work.jobs]):
                    on_block(record, jobs[record.block])
                work = _find(prepared, store, retry=None)
        remove_partial_files(path)
    orphans = work.orphans if prepared.options.limit is None else 0
    return ExtractReport(new_rows=new_rows, orphans=orphans, summary=summarise(store))


def _write_plan(prepared: Prepared) -> int:
    new, block_rows = plan(prepared)
    path = prepared.options.store
    create_group(
        path,
        spec=prepared.spec,
        shapes=prepared.pool_shapes,
        block_rows=block_rows,
        made_by=made_by(prepared.options),
        grids={pool: grid for pool, grid in prepared.backbone.grids.items() if pool in prepared.spec.pools},
    )
    if new.num_rows:
        append_rows(path, new)
    rows, _ = read_rows(path)
    if rows.num_rows:
        resize_arrays(path, int(rows["row"][-1].as_py()) + 1)
    return int(new.num_rows)


def _find(prepared: Prepared, store: Store, *, retry: Retry | None) -> Work:
    return find_work(store, prepared.manifest, absolute_paths(prepared.manifest), retry=retry)


def _runner(
    prepared: Prepared, store: Store, stack: ExitStack
) -> Callable[[Sequence[Sequence[BlockJob]]], Iterator[BlockRecord]]:
    recipe = EngineRecipe(
        store=str(store.path.resolve()),
        backbone=prepared.recipe,
        options=prepared.engine_options(store.block_rows),
    )
    placement = prepared.placement
    if not placement.on_cluster:
        engine = stack.enter_context(recipe.build(prepared.backbone))
        return lambda work: run_here(engine, work)
    from fouls.pipeline.executors.cluster import run_on_cluster, start_cluster

    address = placement.scheduler or stack.enter_context(start_cluster(workers=placement.workers, gpus=placement.gpus))
    return lambda work: run_on_cluster(address, recipe, work)


def made_by(options: ExtractOptions) -> dict[str, Any]:
    """What stands beside the spec: the options as they were given, and the versions of what made the features."""
    packages = ("fouls", "torch", "torchvision", "transformers", "numpy", "zarr", "decord", "av", "torchcodec")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"options": options.to_dict(), "versions": versions}
