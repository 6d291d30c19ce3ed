"""Damaged, odd and foreign files in bulk: does one of them hang, crash, or come out wrong?

Makes files from real videos (and from videos that it makes itself), builds a manifest of them, changes some behind its
back, and extracts them all with a small VideoMAE. Each file must end as features of the right frames, or in the ledger
with a class of error. Prints how they were classed, peak memory and times; exits with 1 when something hung, crashed,
was not classed, is missing or wrong.

    python benchmarks/damaged_videos.py [--count 1000] [--seed 0] [--real FOLDER ...] [--keep FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import av
from damage import report, trial
from damage.corpus import make_corpus
from damage.watching import Run, run_fouls

ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm"}
FROM_EACH = 12
"""Real videos from each folder."""
SECONDS_A_FILE = 3.0
"""A command that takes longer for each file has hung."""


def real_videos(folders: list[Path], seed: int) -> list[Path]:
    """Some videos of each folder."""
    rng, chosen = Random(seed), []
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        chosen += rng.sample(found, min(FROM_EACH, len(found)))
    return chosen


def attempt(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Make, extract and judge; what there is to print."""
    started = time.monotonic()
    real = real_videos(options.real, options.seed)
    corpus = make_corpus(folder, count=options.count, seed=options.seed, real=real)
    made = time.monotonic() - started
    runs: list[Run] = []

    def run(arguments: list[str]) -> int | None:
        runs.append(run_fouls(arguments, folder, 120 + SECONDS_A_FILE * options.count))
        return runs[-1].status

    trial.build(corpus, folder, run)
    corpus = trial.tamper(corpus, options.seed)
    trial.extract(folder, run, timeout_seconds=options.timeout)
    crashed = [run.errors.strip().splitlines()[-8:] for run in runs if run.has_crashed]
    outcomes = [] if crashed else trial.outcomes(corpus, folder)
    wrong = report.faults(outcomes)
    if not options.json:
        print(report.table(outcomes))
        print("\n".join(["", *(f"not made: {line}" for line in corpus.not_made), *wrong]))
    return {
        **report.figures(outcomes),
        "real videos to begin with": len(real),
        "commands that hung": sum(run.status is None for run in runs),
        "commands that crashed": crashed,
        "wrong": wrong if options.json else len(wrong),
        "seconds to make": round(made),
        "seconds to probe": round(sum(run.seconds for run in runs[:-1])),
        "seconds to extract": round(runs[-1].seconds),
        "seconds in all": round(time.monotonic() - started),
        "peak MiB, probing, all processes": max(run.tree_bytes for run in runs[:-1]) >> 20,
        "peak MiB, extracting, all processes": runs[-1].tree_bytes >> 20,
        "peak MiB, largest decoding process": runs[-1].process_bytes >> 20,
    }


def main() -> None:
    """Try, and print."""
    shared = Path(__file__).resolve().parents[2] / "shared"
    known = [folder for name in ("videos", "mvfoul", "ucf6") if (folder := shared / name).is_dir()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, nargs="*", default=known, help="folders with videos to damage")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds for one video")
    parser.add_argument("--keep", type=Path, help="an empty folder for everything, instead of one that goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder's errors alone
    av.logging.set_level(av.logging.PANIC)
    with tempfile.TemporaryDirectory() as temporary:
        found = attempt(options.keep or Path(temporary), options)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.items()))
    is_well = not (found["wrong"] or found["commands that hung"] or found["commands that crashed"])
    sys.exit(0 if is_well and sum(found["found"].values()) >= options.count else 1)


if __name__ == "__main__":
    main()
