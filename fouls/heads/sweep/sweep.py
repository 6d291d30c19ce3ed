"""A sweep from start to end: train every configuration, keep the best, and write it all down."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from fouls.errors import RunError
from fouls.files import write_atomically
from fouls.heads.determinism import deterministic
from fouls.heads.figures import draw_sweep
from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.options import Plain, write_options
from fouls.heads.predictions import reduced
from fouls.heads.run_folder import RESULTS, RESULTS_PICTURE, SWEEP, create_folder
from fouls.heads.samples import Samples
from fouls.heads.sweep.candidates import Candidate
from fouls.heads.sweep.fit_stack import Member, fit_stack
from fouls.heads.sweep.results import Result, ranked, results_table, to_parquet
from fouls.heads.train import fit
from fouls.heads.train_head import Trained, write_run

BEST = "best"
"""The folder of the best run, below the sweep's."""

_BATCH_BYTES = 256 * 2**20
"""What the features of a batch may take, once for each model of a stack: as much as its activations, roughly."""

OnEpochs = Callable[[int], None]
"""Called with the number of epochs of all configurations that are over, or that early stopping has saved."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished sweep."""

    path: Path
    results: list[Result]
    """The best first; those that failed last."""
    best: Trained


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best configuration so far."""

    result: Result
    head: Head
    samples: Samples
    """Reduced."""


def sweep(
    candidates: Sequence[Candidate],
    *,
    asked: Plain,
    out: str | Path = "runs",
    name: str | None = None,
    overwrite: bool = False,
    on_epochs: OnEpochs = lambda count: None,
) -> Sweep:
    """Train all configurations and write the sweep; a sweep is finished when ``results.parquet`` is there.

    Args:
        candidates: from :func:`fouls.heads.sweep.candidates.make_candidates`.
        asked: the options that they were made of, for ``sweep.yaml``.
        out: where runs lie.
        name: the sweep's; ``None``: ``<store>-sweep-<number>``.
        overwrite: replace a sweep of this name.
        on_epochs: see :data:`OnEpochs`.

    Raises:
        RunError: the name is taken, or every configuration has failed.
    """
    default = f"{candidates[0].prepared.config.features_name}-sweep"
    folder = create_folder(Path(out), name, default, overwrite=overwrite, config=SWEEP)
    write_atomically(folder / SWEEP, write_options(asked))
    results, winner = train_all(candidates, on_epochs)
    table = to_parquet(results_table(results))
    if winner is None:
        write_atomically(folder / RESULTS, table)
        raise RunError(f"all {len(results)} configurations failed, the first so: {results[0].failure}")
    assert winner.result.fit is not None
    prepared = winner.result.candidate.prepared
    best = write_run(prepared, winner.head, winner.result.fit, winner.samples, out=folder, name=BEST, overwrite=False)
    results = ranked(results)
    write_atomically(folder / RESULTS_PICTURE, _draw(results, best, folder.name))
    write_atomically(folder / RESULTS, table)
    return Sweep(path=folder, results=results, best=best)


def train_all(
    candidates: Sequence[Candidate], on_epochs: OnEpochs = lambda count: None
) -> tuple[list[Result], Winner | None]:
    """Train all configurations, from features in memory; the best is ``None`` where all failed."""
    results: list[Result] = []
    winner: Winner | None = None
    features = _Features()
    for group in make_groups(candidates):
        for result, head in _train(group, features, on_epochs):
            results.append(result)
            if head is not None and (winner is None or ranked([winner.result, result])[0] is result):
                winner = Winner(result=result, head=head(), samples=features.reduced)
    return results, winner


def make_groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Those that can be trained at once: all alike but for learning rate, weight decay and loss.

    The others are alone, and so is every head that is not trained faster in a stack.
    """
    groups: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        config = candidate.prepared.config
        train = dataclasses.replace(config.train, lr=1.0, weight_decay=0.0)
        shape = dataclasses.replace(config, train=train, loss=LossConfig()).to_json()
        groups.setdefault(shape if config.head.stacks else candidate.number, []).append(candidate)
    return list(groups.values())


class _Features:
    """Samples on the device, reduced for a head; those of the last head are kept for the next like it."""

    def __init__(self) -> None:
        self.of: object = None
        self.reduced: Samples
        self._on_device: dict[int, Samples] = {}

    def read(self, candidate: Candidate, head: Head) -> Samples:
        """The reduced samples of a candidate."""
        samples, config = candidate.prepared.samples, candidate.prepared.config
        if id(samples) not in self._on_device:
            self._on_device[id(samples)] = samples.to(torch.device(config.device))
        of = (id(samples), config.head)
        if self.of != of:
            self.of, self.reduced = of, reduced(head, self._on_device[id(samples)])
        return self.reduced


def _train(
    group: Sequence[Candidate], features: _Features, on_epochs: OnEpochs
) -> Iterator[tuple[Result, Callable[[], Head] | None]]:
    """Train a group; with each result what gives its head, which is not the same head for long."""
    config = group[0].prepared.config
    with deterministic(config.train.seed, torch.device(config.device), threads=config.train.threads):
        samples = features.read(group[0], config.build_head())
    sample_bytes = samples.tracks.shape[1] * samples.num_steps * samples.values.shape[2] * 4
    size = max(1, _BATCH_BYTES // (sample_bytes * config.train.batch_size))
    for start in range(0, len(group), size):
        some = group[start : start + size]
        yield from (
            _train_stack(some, samples, on_epochs) if len(some) > 1 else [_train_one(some[0], samples, on_epochs)]
        )


def _train_one(candidate: Candidate, samples: Samples, on_epochs: OnEpochs) -> tuple[Result, Callable[[], Head] | None]:
    prepared, config = candidate.prepared, candidate.prepared.config
    begin = time.perf_counter()
    epochs = 0

    def after_epoch(scores: object) -> None:
        nonlocal epochs
        epochs += 1
        on_epochs(1)

    with deterministic(config.train.seed, samples.device, threads=config.train.threads):
        head = config.build_head().to(samples.device)
        train, valid = samples.select(prepared.train), samples.select(prepared.valid)
        found, failure = None, None
        try:
            found = fit(head, train, valid, config.tasks, config.train, config.loss, after_epoch)
        except RunError as error:
            failure = str(error)
    on_epochs(config.train.epochs - epochs)
    seconds = time.perf_counter() - begin
    result = Result(candidate=candidate, fit=found, seconds=seconds, at_once=1, failure=failure)
    return result, None if found is None else lambda: head


def _train_stack(
    group: Sequence[Candidate], samples: Samples, on_epochs: OnEpochs
) -> Iterator[tuple[Result, Callable[[], Head] | None]]:
    prepared, config = group[0].prepared, group[0].prepared.config
    begin = time.perf_counter()
    own = [candidate.prepared.config for candidate in group]
    members = [Member(lr=each.train.lr, weight_decay=each.train.weight_decay, loss=each.loss) for each in own]
    with deterministic(config.train.seed, samples.device, threads=config.train.threads):
        head = config.build_head().to(samples.device)
        train, valid = samples.select(prepared.train), samples.select(prepared.valid)
        fit_stack(head, train, valid, config.tasks, config.train, members, on_epochs)
    head.eval()
    seconds = (time.perf_counter() - begin) / len(group)
    for candidate, member in zip(group, members, strict=True):
        found = None if member.failure else member.fit
        result = Result(candidate=candidate, fit=found, seconds=seconds, at_once=len(group), failure=member.failure)
        yield result, None if found is None else partial(_with_weights, head, member)


def _with_weights(head: Head, member: Member) -> Head:
    head.load_state_dict(head.state_dict() | member.weights)
    return head


def _draw(results: Sequence[Result], best: Trained, title: str) -> bytes:
    """The picture; ``results`` are ranked."""
    in_order = sorted(results, key=lambda result: result.candidate.number)
    scores = best.scores[best.run.config.valid_split]
    labelled = [of_task for of_task in scores.values() if of_task["labelled"]]
    guesses = [of_task["chance"]["balanced_accuracy"] for of_task in labelled if "chance" in of_task]
    chance = sum(guesses) / len(guesses) if len(guesses) == len(labelled) else None
    kinds = [name for name, there in (("balanced accuracy", guesses), ("mAP", len(guesses) < len(labelled))) if there]
    metric = " and ".join(kinds) + (", mean over tasks," if len(labelled) > 1 else "")
    points = [result.point for result in in_order]
    place = next(place for place, result in enumerate(in_order) if result is results[0])
    return draw_sweep(points, place, metric, chance, title)
