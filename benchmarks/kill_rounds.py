"""Does SIGKILL at a random moment ever lose a row, leave a wrong one, or have finished work done again?

Fills stores of small videos in ten formats with a tiny VideoMAE: in one process, with two workers, and on a Dask
cluster that stands by itself. In each round something is killed, while it starts or while it works: the main process,
everything at once, a decoding process, the server that those fork from, a Dask worker, the scheduler. Then the same
command goes on. A store that is full is compared, byte for byte but for times, with that of an undisturbed run, and
another one is begun.

    python -m benchmarks.kill_rounds [--rounds 50] [--videos 48] [--seed 0] [--json]

Ends with 1 when a row is lost or wrong, a finished block is done again, or anything is left behind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.kills.places import PLACES
from benchmarks.kills.tally import Tally
from benchmarks.kills.trial import Trial
from benchmarks.kills.world import UNDISTURBED, World, make_world
from fouls.commands import console

SHARES = {"one process": 6, "two workers": 2, "standing cluster": 2}
"""Of ten rounds."""


def attempt(folder: Path, options: argparse.Namespace) -> Tally:
    """All rounds."""
    world = make_world(folder, options.videos)
    world.forget_reads()
    start_seconds = undisturbed_run(world)
    tally = Tally(start_seconds=start_seconds, sees_reads=len(world.videos_read()) == len(world.videos))
    chance = Random(options.seed)
    for name, share in SHARES.items():
        rounds = -(-options.rounds * share // 10)
        with PLACES[name](world) as place, console.progress(name, rounds, "rounds") as advance:
            Trial(world, name, place, chance, tally, advance).run(rounds)
    return tally


def undisturbed_run(world: World) -> float:
    """Fill the store to compare with; seconds until its first block was committed."""
    started = time.monotonic()
    log, ledger = world.path / "undisturbed.log", world.path / UNDISTURBED / "ledger"
    process = world.start(["--device", "cpu"], log, out=UNDISTURBED)
    while process.poll() is None and not any(ledger.glob("0*.json")):
        time.sleep(0.01)
    seconds = time.monotonic() - started
    if process.wait() != 1:  # for the two files that are no videos
        raise SystemExit(f"the undisturbed run failed: {log.read_text()}")
    return seconds


def main() -> None:
    """Kill, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--videos", type=int, default=48, help="of a store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="an empty folder for everything, instead of one that goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        tally = attempt(options.keep or Path(temporary), options)
    seconds = round(time.monotonic() - started)
    if options.json:
        print(json.dumps(tally.figures() | {"seconds": seconds}, indent=1))
    else:
        tally.show()
        console.say(f"{seconds} s")
    sys.exit(1 if tally.faults() else 0)


if __name__ == "__main__":
    main()
