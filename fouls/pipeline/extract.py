"""An extraction from beginning to end: plan → blocks → run, and what came of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from fouls.cache.index_files import refuse_lost_index
from fouls.cache.layout import choose_block_rows, create_group, resize_arrays
from fouls.cache.lock import exclusive
from fouls.cache.quarantine import Retry
from fouls.cache.rows import ROW_SCHEMA, append_rows, read_rows
from fouls.cache.store import Store, open_store
from fouls.cache.summary import Summary, summarise
from fouls.errors import StoreError
from fouls.files import remove_partial_files
from fouls.pipeline.dense import group_dense, overlaps
from fouls.pipeline.engine import DoneBlock
from fouls.pipeline.executors.local import run_here
from fouls.pipeline.executors.recipe import EngineRecipe, MemberRecipe
from fouls.pipeline.grouping import BlockGroup, group_blocks
from fouls.pipeline.known import KNOWN_COLUMNS, known_videos
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.plan import numbered, plan_rows
from fouls.pipeline.prepare import Prepared
from fouls.pipeline.stream_groups import group_streams
from fouls.pipeline.streaming import streams_at_once
from fouls.pipeline.tuning import Tuning, tune
from fouls.pipeline.work import Work, find_work

MANY_ENGINES = 16
"""Of a cluster that stands: how many workers it has is not asked."""
MAX_PASSES = 3
"""A pass may find that a block it wanted to add to is damaged; the next one does that block's other rows."""


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What an extraction has done, read back from the disk."""

    new_rows: int
    """Rows that this run planned."""
    orphans: int
    """Rows left to do whose video no manifest names any more."""
    summary: Summary


def plan(prepared: Prepared) -> tuple[pa.Table, int]:
    """The rows that the store does not have yet, and the rows of a block; nothing is written.

    Returns:
        New rows, and rows a block.
    """
    options = prepared.options
    exists = (options.store / "zarr.json").exists()
    rows, retired = read_rows(options.store, ["row", *KNOWN_COLUMNS]) if exists else (ROW_SCHEMA.empty_table(), None)
    known = None if retired is None else known_videos(rows, retired)
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
    if exists:
        refuse_lost_index(options.store, last, block_rows)
    first_row = -(-(last + 1) // block_rows) * block_rows  # a planning starts at a block of its own
    return numbered(new, first_row), block_rows


def extract(
    prepared: Prepared,
    *,
    on_start: Callable[[int], None] = lambda num_rows: None,
    on_block: Callable[[DoneBlock], None] = lambda done: None,
) -> ExtractReport:
    """Plan what is new, do what is not done, and say what stands on the disk afterwards.

    Args:
        prepared: see :func:`fouls.pipeline.prepare.prepare`.
        on_start: called once with the rows that there are to do.
        on_block: called after each commit.

    Raises:
        StoreError: somebody else is filling the store.
        ExecutorError: workers keep dying.
    """
    return extract_all([prepared], on_start=on_start, on_block=on_block)[0]


def extract_all(
    prepared: Sequence[Prepared],
    *,
    on_tuned: Callable[[str], None] = lambda reason: None,
    on_start: Callable[[int], None] = lambda num_rows: None,
    on_block: Callable[[DoneBlock], None] = lambda done: None,
) -> list[ExtractReport]:
    """:func:`extract` for several backbones at once: a video is decoded once for all stores that lack its rows.

    Args:
        prepared: see :func:`fouls.pipeline.prepare.prepare_all`.
        on_tuned: called with what was chosen after a trial and why, where there is enough to do.
        on_start: called once with the rows that there are to do in all stores.
        on_block: called after each commit in one of them.

    Raises:
        StoreError: somebody else is filling one of the stores.
        ExecutorError: workers keep dying.
    """
    with ExitStack() as locks:
        for each in prepared:
            locks.enter_context(exclusive(each.options.store))
            remove_partial_files(each.options.store)
        new_rows = [write_plan(each) for each in prepared]
        stores = [open_store(each.options.store) for each in prepared]
        works = [_find(each, store, retry=each.options.retry) for each, store in zip(prepared, stores, strict=True)]
        tuning = tune(prepared, works)
        if tuning.reason is not None:
            on_tuned(tuning.reason)
        on_start(sum(work.num_rows for work in works))
        works = _do(prepared, stores, works, tuning, on_block)
        for each in prepared:
            remove_partial_files(each.options.store)
    return [
        ExtractReport(new_rows=new, orphans=work.orphans if each.options.limit is None else 0, summary=summarise(store))
        for each, new, work, store in zip(prepared, new_rows, works, stores, strict=True)
    ]


def _do(
    prepared: Sequence[Prepared],
    stores: Sequence[Store],
    works: list[Work],
    tuning: Tuning,
    on_block: Callable[[DoneBlock], None],
) -> list[Work]:
    """Do the work of all stores; what is left of it."""
    with ExitStack() as stack:
        run = _runner(prepared, stores, tuning, stack) if any(map(len, works)) else None
        for _ in range(MAX_PASSES):
            if run is None or not any(map(len, works)):
                break
            for done in run(make_groups(prepared, works)):
                on_block(done)
            works = [_find(each, store, retry=None) for each, store in zip(prepared, stores, strict=True)]
    return works


def make_groups(prepared: Sequence[Prepared], works: Sequence[Work]) -> Iterator[BlockGroup]:
    """The blocks that are done together; their jobs are made on the way."""
    first = prepared[0]
    engines = MANY_ENGINES if first.placement.scheduler else first.placement.engines
    if first.spec.sampling.kind == "stream":
        groups = group_streams(works[0], max(engines, streams_at_once(first.backbone.device)))
    elif len(works) == 1 and overlaps(first.spec.sampling):
        groups = group_dense(works[0], first.spec, engines)
    else:
        groups = group_blocks([[work.videos(number) for number in range(len(work))] for work in works])
    for group in groups:
        yield BlockGroup(
            blocks=tuple(tuple(map(work.job, numbers)) for work, numbers in zip(works, group, strict=True))
        )


def write_plan(prepared: Prepared) -> int:
    """Plan what is new and make room for it in the store, which is made where there is none.

    Returns:
        New rows.
    """
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
    num_new = int(new.num_rows)
    if num_new:
        append_rows(path, new)
    del new  # what is read back is as large
    rows, _ = read_rows(path, ["row"])
    if rows.num_rows:
        resize_arrays(path, int(rows["row"][-1].as_py()) + 1)
    return num_new


def _find(prepared: Prepared, store: Store, *, retry: Retry | None) -> Work:
    return find_work(store, prepared.manifest, retry=retry, downloads=prepared.options.downloads)


def _runner(
    prepared: Sequence[Prepared], stores: Sequence[Store], tuning: Tuning, stack: ExitStack
) -> Callable[[Iterable[BlockGroup]], Iterator[DoneBlock]]:
    members = tuple(
        MemberRecipe(
            store=str(store.path.resolve()),
            backbone=each.recipe,
            batch_size=batch_size,
        )
        for each, store, batch_size in zip(prepared, stores, tuning.batch_sizes, strict=True)
    )
    recipe = EngineRecipe(members=members, options=tuning.engine)
    placement = prepared[0].placement
    if not placement.on_cluster:
        engine = stack.enter_context(recipe.build([each.backbone for each in prepared]))
        return lambda groups: run_here(engine, groups)
    from fouls.pipeline.executors.client import run_on_cluster
    from fouls.pipeline.executors.cluster import start_cluster

    streams = prepared[0].spec.sampling.kind == "stream"
    address = placement.scheduler or stack.enter_context(
        start_cluster(workers=placement.workers, gpus=placement.gpus, streams=streams)
    )
    options = prepared[0].options
    share_cores = placement.scheduler is not None and options.decode_workers is None
    return lambda groups: run_on_cluster(address, recipe, groups, options.executor.cluster, share_cores=share_cores)


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
