"""The whole of an extraction, again and again."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from fouls.cache.store import Store, open_store
from fouls.cache.summary import summarise
from fouls.errors import RunError
from fouls.pipeline.benchmark.timing import Timing
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.executors.local import run_here
from fouls.pipeline.extract import make_groups, write_plan
from fouls.pipeline.prepare import Prepared
from fouls.pipeline.work import find_work
from fouls.video.isolation import IsolatedPool


def time_extract(prepared: Prepared, folder: Path, *, repeats: int) -> tuple[Timing, Store]:
    """Extract everything into new stores; from the first block's beginning to the last one's commit.

    What is done once, however many clips there are, does not count: loading the backbone, starting the decoding
    processes, planning. A first extraction of some of the videos, which is not timed, sees to it.

    Returns:
        The timing, and the last store.

    Raises:
        RunError: rows failed.
    """
    options, seconds = prepared.engine_options, []
    some = replace(prepared, manifest=prepared.manifest.slice(0, 2 * options.decode_workers))
    with IsolatedPool(
        options.decode_workers, options.decode_timeout_seconds, preload=["fouls.pipeline.decoding"]
    ) as pool:
        _extract(some, folder / "first", pool)
        for number in range(repeats):
            shutil.rmtree(folder / str(number - 1), ignore_errors=True)
            took, store = _extract(prepared, folder / str(number), pool)
            seconds.append(took)
    summary = summarise(store)
    if summary.failed or summary.todo:
        raise RunError(f"{summary.failed} of {summary.rows} clips failed: leave their videos out")
    return Timing(num_clips=summary.done, seconds=tuple(seconds)), store


def _extract(prepared: Prepared, path: Path, pool: IsolatedPool) -> tuple[float, Store]:
    into = replace(prepared, options=replace(prepared.options, out=path))
    write_plan(into)
    store = open_store(path)
    work = find_work(store, into.manifest, retry=None, downloads=into.options.downloads)
    member = Member(store=store, backbone=into.backbone, batch_size=into.batch_size(store.block_rows))
    engine, groups = Engine([member], into.engine_options, pool), make_groups([into], [work])
    started = time.perf_counter()
    for _ in run_here(engine, groups):
        pass
    return time.perf_counter() - started, store
