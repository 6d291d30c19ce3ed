"""What do 20 linear probes cost beside one?

On a store of MVFoul's size (7 000 rows of 8 × 768, 2 319 samples with 2 to 4 views, two tasks) one linear probe is
trained, and then 20 with as many learning rates, in turn. Both go the same way: ``train`` from features in memory to
trained weights, ``command`` from opening the store to the finished folder, as ``fouls train-head`` and ``fouls sweep``
go. All epochs are trained.

    python benchmarks/sweep.py [--probes 20] [--epochs 100] [--repeat 5]

Ends with 1 when all probes take more than twice the time of one, in ``train``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mvfoul_size import make_world

from fouls.cache.store import open_store
from fouls.heads.head import HeadConfig
from fouls.heads.prepare import prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.sweep.candidates import Candidate, make_candidates
from fouls.heads.sweep.sweep import sweep, train_all
from fouls.heads.train_config import TrainConfig
from fouls.heads.train_head import train_head
from fouls.manifests.table import read_manifest

WANTED = 2.0
HEAD: HeadConfig = make_head_config("linear", {})


def candidates_of(folder: Path, rates: list[float], epochs: int) -> list[Candidate]:
    """Features read and joined with the labels; a configuration a learning rate."""
    store, manifest = open_store(folder / "cache" / "videomae"), read_manifest(folder / "manifests")
    points = [
        ({"train.lr": rate}, {"head": "linear", "train": {"lr": rate, "epochs": epochs, "patience": epochs}})
        for rate in rates
    ]
    return make_candidates([store], manifest, points, manifest_path=folder / "manifests")


def one_command(folder: Path, rate: float, epochs: int, out: Path) -> None:
    """What ``fouls train-head`` does."""
    store, manifest = open_store(folder / "cache" / "videomae"), read_manifest(folder / "manifests")
    options = RunOptions(head=HEAD, train=TrainConfig(lr=rate, epochs=epochs, patience=epochs))
    train_head(prepare(store, manifest, options, manifest_path=folder / "manifests"), out=out)


def seconds(action: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(name: str, one: Callable[[], object], many: Callable[[], object], repeat: int) -> float:
    """Time both in turn, print medians and spread, and give the ratio of the medians."""
    pairs = [(seconds(one), seconds(many)) for _ in range(repeat)]
    singles, sweeps = zip(*pairs, strict=True)
    ratio = statistics.median(sweeps) / statistics.median(singles)
    ratios = sorted(many / one for one, many in pairs)
    print(f"{name:8s} one   {statistics.median(singles):7.2f} s ({min(singles):.2f} to {max(singles):.2f})")
    print(f"{'':8s} all   {statistics.median(sweeps):7.2f} s ({min(sweeps):.2f} to {max(sweeps):.2f})")
    print(f"{'':8s} ratio {ratio:7.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f} pair by pair)", flush=True)
    return ratio


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each")
    options = parser.parse_args()
    rates = np.geomspace(1e-4, 1e-1, options.probes).tolist()
    middle = rates[len(rates) // 2]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.probes} probes, {options.epochs} epochs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder)
        single, several = (candidates_of(folder, which, options.epochs) for which in ([middle], rates))
        compare("warm-up", lambda: train_all(single), lambda: train_all(several), 1)
        ratio = compare("train", lambda: train_all(single), lambda: train_all(several), options.repeat)
        runs = folder / "runs"

        def whole_sweep() -> None:
            sweep(candidates_of(folder, rates, options.epochs), asked={}, out=runs)

        compare("command", lambda: one_command(folder, middle, options.epochs, runs), whole_sweep, 3)
    raise SystemExit(ratio > WANTED)


if __name__ == "__main__":
    main()
