"""Batch size and number of decoding processes where they are not given: by a short trial before a long extraction.

The batch size decides a feature's last bits. So a store that was begun keeps its own, and for a new one it is chosen
once, before any worker starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow.compute as pc
import torch

from fouls.errors import ExecutorError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.choosing import LEAST_WORKERS, choose_batch_size, choose_decode_workers
from fouls.pipeline.engine import EngineOptions
from fouls.pipeline.prepare import Prepared
from fouls.pipeline.trial import Calibration, total_seconds, try_decoding, try_forward, with_forward
from fouls.pipeline.work import Work

TRIED_SIZES = {"cuda": (8, 16, 32, 64, 128, 256)}
"""Kind of device → batch sizes. On CPUs each clip has a thread of its own: from as many clips as threads on, larger
batches were never faster."""
LEAST_ROWS = 1000
"""Less work is not worth a trial."""
MOST_SECONDS = 10.0
MOST_SHARE = 0.02
"""Of the seconds that the forward passes will take, for all trials together."""
DECODING_SECONDS = 3.0
"""A trial of the decoding takes about so long, most of it to start a process."""
FREE_SHARE = 0.1
"""Of a GPU's memory: what is to be left while a batch is computed, for the pictures of the next ones."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How fast an extraction can be made to go."""

    batch_sizes: tuple[int, ...]
    """Of each store."""
    engine: EngineOptions
    reason: str | None = None
    """What was chosen and from what, on one line; ``None``: nothing was measured."""
    calibrations: tuple[Calibration | None, ...] | None = None
    """What a row of each store costs, ``None`` where it has none to do; of all ``None`` where not all was measured."""


def tune(prepared: Sequence[Prepared], works: Sequence[Work], *, num_rows: int | None = None) -> Tuning:
    """Choose what was not given, where there is enough to do.

    Args:
        prepared: the extractions, which share the decoding.
        works: what there is to do for each.
        num_rows: as if there were so many rows to do; ``None``: those that there are.

    Raises:
        ExecutorError: a GPU has no memory for a single clip, or for a batch of the size that is given.
    """
    sizes = [_known_size(each, work) for each, work in zip(prepared, works, strict=True)]
    tried = [_sizes_to_try(each, work) for each, work in zip(prepared, works, strict=True)]
    engine, counts = prepared[0].engine_options, _counts_processes(prepared[0])
    num_rows = sum(work.num_rows for work in works) if num_rows is None else num_rows
    if num_rows < LEAST_ROWS or not any(map(len, works)) or not (counts or any(tried)):
        return Tuning(batch_sizes=tuple(sizes), engine=engine)
    placement = prepared[0].placement
    allowance = _Allowance(num_rows / (1 if placement.device == "cpu" else placement.engines))
    forward = [0.0] * len(sizes)
    for place, (each, its) in enumerate(zip(prepared, tried, strict=True)):
        if not works[place]:
            continue
        with _on_device(each) as backbone:
            trial = _ForwardTrial(each, backbone, allowance)
            sizes[place] = trial.choose(its, sizes[place])
            forward[place] = trial.best_seconds
    calibrations = _try_decoding(prepared, works, forward, allowance) if counts else None
    if calibrations is not None:
        engine = _with_processes(prepared[0], works, calibrations)
    return Tuning(
        batch_sizes=tuple(sizes),
        engine=engine,
        reason=_reason(sizes if any(tried) else [], engine, forward, calibrations, allowance.spent),
        calibrations=calibrations,
    )


def batch_begun(prepared: Prepared, work: Work) -> int | None:
    """The batch size with which a store was begun on a device of this kind, unless another is asked for: the rows to
    come are then those that a run without a pause would have made, bit for bit."""
    if prepared.options.batch_size is not None:
        return None
    kind = prepared.placement.device.partition(":")[0]
    sizes = (record.batch_size for record in work.ledger.values() if (record.device or "").partition(":")[0] == kind)
    return next(sizes, None)


class _Allowance:
    """Seconds that trials may take, before a device does so many rows."""

    def __init__(self, num_rows: float) -> None:
        self._began = time.perf_counter()
        self._num_rows = num_rows
        self._seconds = MOST_SECONDS

    def limit(self, forward_seconds: float) -> None:
        """Take in how long the work will be, from the seconds that a row takes."""
        self._seconds = min(self._seconds, MOST_SHARE * self._num_rows * forward_seconds)

    @property
    def spent(self) -> float:
        return time.perf_counter() - self._began

    @property
    def left(self) -> float:
        return self._seconds - self.spent


class _ForwardTrial:
    """Times a backbone in batches of several sizes."""

    def __init__(self, prepared: Prepared, backbone: Backbone, allowance: _Allowance) -> None:
        self._spec = prepared.spec
        self._backbone = backbone
        self._allowance = allowance
        self._last_seconds = 0.0
        self.best_seconds = float("inf")
        """A row's, with the best size so far."""

    def choose(self, sizes: Sequence[int], known: int) -> int:
        """The best of some sizes; where there are none the known one, which is timed."""
        try:
            if sizes:
                return choose_batch_size(sizes, self.measure, default=known, time_for=self.has_time_for).batch_size
            self.measure(known)
        except torch.OutOfMemoryError as error:
            least = 1 if sizes else known
            clips = f"{least} clip{'s' * (least > 1)} of {self._backbone.name}"
            raise ExecutorError(
                f"{self._backbone.device} has no memory for {clips} at once: see what else is on it, give a smaller "
                "--batch-size, or take another --device"
            ) from error
        return known

    def measure(self, size: int) -> float:
        """Clips a second; see :func:`~fouls.pipeline.choosing.choose_batch_size`."""
        started = time.perf_counter()
        seconds = try_forward(self._backbone, self._spec, batch_size=size)
        if self._last_seconds:  # the first that fits has to do
            _check_memory(self._backbone.device)
        self._last_seconds = time.perf_counter() - started
        self._allowance.limit(seconds)
        self.best_seconds = min(self.best_seconds, seconds)
        return 1 / seconds

    def has_time_for(self, size: int) -> bool:
        """A batch of twice the size takes twice as long at worst."""
        return 2 * self._last_seconds < self._allowance.left


def _known_size(prepared: Prepared, work: Work) -> int:
    return batch_begun(prepared, work) or prepared.batch_size(work.block_rows)


def _sizes_to_try(prepared: Prepared, work: Work) -> list[int]:
    """None where the size is given or stands, or nothing depends on it; and where another machine will compute."""
    options, placement = prepared.options, prepared.placement
    given = options.batch_size is not None or batch_begun(prepared, work) is not None
    if given or options.compile or placement.scheduler is not None or prepared.spec.sampling.kind == "stream":
        return []
    sizes = TRIED_SIZES.get(torch.device(placement.device).type, ())
    return [size for size in sizes if size <= work.block_rows]


def _counts_processes(prepared: Prepared) -> bool:
    """Not where they are given or there is no choice, nor where another machine decodes or the network decides."""
    if prepared.options.decode_workers is not None or prepared.placement.scheduler is not None:
        return False
    if prepared.engine_options.decode_workers <= LEAST_WORKERS:
        return False
    return not pc.any(pc.match_substring(prepared.manifest["path"], "://")).as_py()


@contextmanager
def _on_device(prepared: Prepared) -> Iterator[Backbone]:
    """The backbone where it will run: where every GPU has a process, another one for the time, on the first."""
    gpu_workers = prepared.placement.workers > 0 and prepared.placement.device != "cpu"
    backbone = prepared.recipe.load() if gpu_workers else prepared.backbone
    yield backbone
    on_gpu = backbone.device.type == "cuda"
    del backbone
    if on_gpu:
        torch.cuda.empty_cache()


def _check_memory(device: torch.device) -> None:
    """Raise ``torch.OutOfMemoryError`` where too little was left: torch keeps what a batch needed at most."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        if free < FREE_SHARE * total:
            raise torch.OutOfMemoryError


def _try_decoding(
    prepared: Sequence[Prepared], works: Sequence[Work], forward: Sequence[float], allowance: _Allowance
) -> tuple[Calibration | None, ...] | None:
    found: list[Calibration | None] = []
    for each, work, seconds in zip(prepared, works, forward, strict=True):
        if not work:
            found.append(None)
            continue
        if allowance.left < DECODING_SECONDS:
            return None
        options = replace(each.engine_options, decode_timeout_seconds=allowance.left)
        decoding = try_decoding(work, options, each.spec)
        if decoding is None:
            return None
        found.append(with_forward(decoding, seconds))
    return tuple(found)


def _with_processes(
    prepared: Prepared, works: Sequence[Work], calibrations: Sequence[Calibration | None]
) -> EngineOptions:
    """As many as keep up with the backbones, and more when they turn out not to."""
    options, placement = prepared.engine_options, prepared.placement
    forward, decoding = total_seconds(
        [(work.num_rows, trial) for work, trial in zip(works, calibrations, strict=True) if trial is not None]
    )
    if placement.device == "cpu":
        forward *= placement.engines  # the trial had the cores of all of them
    count = choose_decode_workers(decode_seconds=decoding, forward_seconds=forward, most=options.decode_workers)
    return replace(options, decode_workers=count, max_decode_workers=options.decode_workers)


def _reason(
    sizes: Sequence[int],
    engine: EngineOptions,
    forward: Sequence[float],
    calibrations: Sequence[Calibration | None] | None,
    seconds: float,
) -> str:
    """What was chosen and from what; ``sizes`` is empty where none was chosen."""
    chosen, measured = [], []
    if sizes:
        chosen.append(f"batch size{'s' * (len(sizes) > 1)} {' and '.join(map(str, sizes))}")
    measured.append(f"forward {' and '.join(f'{1 / each:.3g}' for each in forward if each)} clips/s")
    if calibrations:
        count = engine.decode_workers
        chosen.append(f"{count} decoding process{'es' * (count > 1)}")
        rates = (1 / (each.read_seconds + each.preprocess_seconds) for each in calibrations if each is not None)
        measured.append(f"decoding {' and '.join(f'{rate:.3g}' for rate in rates)} clips/s a process")
    if not chosen:
        chosen.append(f"{engine.decode_workers} decoding processes, the default: not worth a trial")
    return f"{', '.join(chosen)}: calibrated in {seconds:.1f} s ({', '.join(measured)})"
