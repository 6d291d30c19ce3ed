"""How much faster than the loop that people write are heads trained?

A store of MVFoul's size (7 000 rows of 8 × 768, 2 319 samples with 2 to 4 views, two tasks) is trained on by fouls and
by ``plain_loop.py``, in turn, each in the fastest of its settings: one thread or all, and for the loop 0 or 2 loading
processes. An epoch is a pass over the train split, 1 998 samples, and one over valid, 321; the first of a run, with all
that comes before it, does not count. Beside the ratio stands the one that would be reached if an epoch took no longer
than its matrix products at the speed of all cores, in the faster of float32 and bfloat16. With ``--full`` both are
trained for 100 epochs, from the files on, and their valid losses are compared.

    python benchmarks/train_heads.py [--heads mlp tcn] [--batch-size 64] [--repeat 3] [--full]

Ends with 1 when a head is less than 20 × as fast, or, with ``--full``, when its lowest valid loss is more than 2 %
above that of the loop.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from mvfoul_size import TASKS, make_world
from plain_loop import FeatureFiles, PlainRun
from torch.utils.flop_counter import FlopCounterMode

from fouls.cache.store import Store
from fouls.heads.determinism import deterministic
from fouls.heads.losses import class_weights
from fouls.heads.predictions import reduced
from fouls.heads.prepare import Prepared, prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.train import fit

WANTED, TOLERANCE = 20.0, 0.02
FULL_EPOCHS = 100
PLAIN_EPOCHS, OUR_EPOCHS = 3, 21

OnEpoch = Callable[[float], None]
Fit = Callable[[int, OnEpoch], None]
"""Trains so many epochs, and tells the valid loss after each."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What both train on."""

    store: Store
    manifest: pa.Table
    files: dict[str, FeatureFiles]

    def prepare(self, head: str) -> Prepared:
        """Features read and joined with the labels."""
        return prepare(self.store, self.manifest, RunOptions(head=make_head_config(head, {})), manifest_path="m")


def our_fit(world: World, head: str, threads: int, batch_size: int) -> Fit:
    """Training as ``fouls train-head`` does it, without writing the run."""

    def train(epochs: int, on_epoch: OnEpoch) -> None:
        prepared = world.prepare(head)
        config = prepared.config
        options = dataclasses.replace(
            config.train, epochs=epochs, patience=epochs, threads=threads, batch_size=batch_size
        )
        with deterministic(0, torch.device("cpu"), threads=threads):
            model = config.build_head()
            samples = reduced(model, prepared.samples)
            split = samples.select(prepared.train), samples.select(prepared.valid)
            fit(model, *split, config.tasks, options, config.loss, lambda scores: on_epoch(scores["valid/loss"]))

    return train


def plain_fit(run: PlainRun, threads: int) -> Fit:
    """The loop that people write."""

    def train(epochs: int, on_epoch: OnEpoch) -> None:
        torch.set_num_threads(threads)
        run.fit(epochs, on_epoch)

    return train


def write_files(folder: Path, store: Store, manifest: pa.Table) -> dict[str, FeatureFiles]:
    """A ``.npy`` file a sample; split → dataset."""
    folder.mkdir()
    values = np.asarray(store["temporal"][:])
    sample = np.asarray(manifest["sample_id"].to_numpy()).astype(int)
    split = manifest["split"].to_numpy()
    labels = np.stack([manifest[f"label.{task}"].to_numpy() for task in TASKS], axis=1)
    first = np.searchsorted(sample, np.arange(sample[-1] + 1))
    for number, rows in enumerate(np.split(values, first[1:])):
        np.save(folder / f"{number:05d}.npy", rows)
    return {
        name: FeatureFiles(
            [folder / f"{number:05d}.npy" for number in numbers], [labels[first[number]].tolist() for number in numbers]
        )
        for name in ("train", "valid")
        for numbers in [np.flatnonzero(split[first] == name).tolist()]
    }


def plain_runs(head: str, files: dict[str, FeatureFiles], batch_size: int) -> list[PlainRun]:
    """The loop without and with loading processes."""
    labels = np.array(files["train"].labels)
    counts = [np.bincount(column, minlength=number) for column, number in zip(labels.T, TASKS.values(), strict=True)]
    weights = [class_weights(torch.from_numpy(each), "balanced", 10.0) for each in counts]
    return [
        PlainRun(
            head=head,
            train=files["train"],
            valid=files["valid"],
            class_weights=weights,
            batch_size=batch_size,
            workers=workers,
        )
        for workers in (0, 2)
    ]


def seconds_of_epochs(train: Fit, epochs: int) -> list[float]:
    """Of every epoch but the first."""
    ends: list[float] = []
    train(epochs, lambda loss: ends.append(time.perf_counter()))
    return np.diff(ends).tolist()


def fastest(candidates: dict[str, Fit], epochs: int) -> tuple[str, Fit]:
    """The setting whose epochs take the least time."""
    seconds = {name: min(seconds_of_epochs(train, epochs)) for name, train in candidates.items()}
    print("   " + "; ".join(f"{name}: {value:.3f} s" for name, value in seconds.items()), flush=True)
    best = min(seconds, key=lambda name: seconds[name])
    return best, candidates[best]


def measure(head: str, world: World, options: argparse.Namespace, per_second: float) -> bool:
    """Compare one head; whether it does what is wanted."""
    loops = {
        f"{run.workers} loading processes, threads {number}": plain_fit(run, number)
        for run, number in itertools.product(plain_runs(head, world.files, options.batch_size), options.threads)
    }
    ours = {f"threads {number}": our_fit(world, head, number, options.batch_size) for number in options.threads}
    print(f"{head}, an epoch in batches of {options.batch_size}")
    loop_name, loop = fastest(loops, 2)
    our_name, our = fastest(ours, OUR_EPOCHS)
    seconds: dict[str, list[float]] = {"loop": [], "fouls": []}
    for _ in range(options.repeat):
        seconds["loop"] += seconds_of_epochs(loop, PLAIN_EPOCHS)
        seconds["fouls"] += seconds_of_epochs(our, OUR_EPOCHS)
    for name, setting in (("loop", loop_name), ("fouls", our_name)):
        values = seconds[name]
        spread = f"{min(values):.3f} to {max(values):.3f} s, {len(values)} epochs"
        print(f"   {name:6s} {statistics.median(values):7.3f} s ({spread})  {setting}")
    ratio = statistics.median(seconds["loop"]) / statistics.median(seconds["fouls"])
    most = statistics.median(seconds["loop"]) / bound(ours.values(), per_second)
    print(f"   fouls is {ratio:.1f} × as fast; wanted: {WANTED:.0f}; products alone: {most:.1f} at most", flush=True)
    same = same_loss(loop, our) if options.full else True
    return ratio >= WANTED and same


def same_loss(loop: Fit, our: Fit) -> bool:
    """Train both to the end and compare their losses on valid."""
    lowest = {}
    for name, train in (("loop", loop), ("fouls", our)):
        losses: list[float] = []
        start = time.perf_counter()
        train(FULL_EPOCHS, losses.append)
        seconds = time.perf_counter() - start
        lowest[name] = min(losses)
        found = f"valid loss: lowest {lowest[name]:.4f}, last {losses[-1]:.4f}"
        print(f"   {name:6s} {FULL_EPOCHS} epochs in {seconds:.1f} s; {found}", flush=True)
    return lowest["fouls"] <= (1 + TOLERANCE) * lowest["loop"]


def products_per_second() -> dict[torch.dtype, float]:
    """What one core multiplies, in FLOP/s, in the shape of the first product of ``tcn``."""
    torch.set_num_threads(1)
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(1544, 768).to(dtype), torch.randn(384, 768).to(dtype)
        seconds = []
        for _ in range(30):
            start = time.perf_counter()
            torch.nn.functional.linear(a, b)
            seconds.append(time.perf_counter() - start)
        found[dtype] = 2 * 1544 * 768 * 384 / min(seconds)
    return found


def bound(ours: Iterable[Fit], per_second: float) -> float:
    """The seconds that the matrix products of an epoch take where all cores do nothing else."""
    with FlopCounterMode(display=False) as counter:
        next(iter(ours))(1, lambda loss: None)
    seconds = counter.get_total_flops() / (per_second * (os.cpu_count() or 1))
    print(
        f"   {counter.get_total_flops() / 1e9:.1f} GFLOP of matrix products: {seconds:.3f} s at the speed of all cores"
    )
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=["mlp", "tcn"], choices=["mlp", "tcn"])
    parser.add_argument("--batch-size", type=int, default=64, help="samples a step, for both")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}), help="numbers to try, for both"
    )
    parser.add_argument("--full", action="store_true", help="train both to the end and compare their valid losses")
    options = parser.parse_args()
    speeds = products_per_second()
    said = " and ".join(
        f"{speed / 1e9:.0f} GFLOP/s in {dtype}".replace("torch.", "") for dtype, speed in speeds.items()
    )
    print(f"{os.cpu_count()} cores, one of which multiplies {said}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        store, manifest, _ = make_world(Path(folder))
        world = World(store=store, manifest=manifest, files=write_files(Path(folder) / "files", store, manifest))
        good = [measure(head, world, options, max(speeds.values())) for head in options.heads]
    raise SystemExit(not all(good))


if __name__ == "__main__":
    main()
