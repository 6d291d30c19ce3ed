"""Rounds in one place: start, kill, look at what is left, start again; until a store is full, and then another."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from random import Random

import psutil

from benchmarks.kills.judging import compare
from benchmarks.kills.places import Place, Victim, restore, victims
from benchmarks.kills.processes import below, left_after
from benchmarks.kills.tally import Tally
from benchmarks.kills.world import BLOCK_ROWS, STORE, UNDISTURBED, World
from fouls.cache.rows import read_rows

HUNG_SECONDS = 180.0
"""A run that takes longer, for less work than an undisturbed one of seconds."""
AT_THE_START = 0.25
"""Share of the runs that are killed at any moment since their start, and not after a block or some."""
RETRY = ["--retry-failed", "--only", "decoder_crashed", "--include-quarantined"]


class Trial:
    """All rounds in one place.

    Args:
        world: where.
        name: of the place.
        place: how blocks are done there.
        chance: chooses victims and moments.
        tally: what is counted goes there.
        advance: called after each kill.
    """

    def __init__(
        self, world: World, name: str, place: Place, chance: Random, tally: Tally, advance: Callable[[int], None]
    ) -> None:
        self._world, self._name, self._place = world, name, place
        self._chance, self._tally, self._advance = chance, tally, advance
        self._kills = 0
        self._finished: dict[str, bytes] = {}
        self._log = world.path / "run.log"

    def run(self, rounds: int) -> None:
        """Kill so often; what is begun then comes to its end."""
        is_full = False
        while self._kills < rounds or not is_full:
            is_full = self._run_once(rounds)
            if is_full:
                self._retry_and_compare()

    def _run_once(self, rounds: int) -> bool:
        """One command, until it ends or is killed; whether the store is full then."""
        self._world.forget_reads()
        process = self._world.start(self._place.options, self._log)
        self._tally.counts["runs"] += 1
        started, kills_before = time.monotonic(), self._kills
        ended_by: Victim | None = None
        seen: list[psutil.Process] = []
        while ended_by is None and self._kills < rounds and self._wait(process, started):
            found = victims(self._place, process, self._chance)
            (victim,) = self._chance.choices(found, [victim.weight for victim in found])
            seen = below(process.pid)
            victim.kill()
            self._kills += 1
            self._tally.kills[self._name, victim.kind] += 1
            self._advance(1)
            ended_by = victim if victim.ends_run else None
        status = self._end_of(process)
        self._tally.fault("processes left", self._name, left_after(seen))
        if ended_by is not None:
            self._count_in_flight(ended_by)
            self._tally.counts["partial files that the next run removed"] += len(self._partial_files())
            restore(self._place)
        self._check_finished()
        self._judge_end(status, killed=ended_by is not None, disturbed=self._kills > kills_before)
        return ended_by is None and status in (0, 1)

    def _wait(self, process: subprocess.Popen[bytes], started: float) -> bool:
        """Until the moment to kill; whether the run is still there then."""
        if self._chance.random() < AT_THE_START:
            moment, records = started + self._chance.uniform(0, self._tally.start_seconds), 0
        else:
            moment, records = started, len(self._world.records()) + self._chance.randrange(1, 4)
        later = self._chance.uniform(0, 0.1)
        while process.poll() is None and time.monotonic() - started < HUNG_SECONDS:
            if time.monotonic() >= moment and len(self._world.records()) >= records:
                time.sleep(later)
                return process.poll() is None
            time.sleep(0.01)
        return False

    def _end_of(self, process: subprocess.Popen[bytes]) -> int | None:
        try:
            return process.wait(HUNG_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def _judge_end(self, status: int | None, *, killed: bool, disturbed: bool) -> None:
        """A run ends with 0, with 1 where rows have failed, or with one line where Dask's processes were killed."""
        said = self._log.read_text(errors="replace")
        lines = said.splitlines() or [""]
        ended_well = status in (0, 1) and lines[-1].startswith("next: ")
        ended_with_a_line = status == 2 and any(line.startswith("error: ") for line in lines)
        self._tally.counts["runs ended with a line"] += ended_with_a_line
        if status is None:
            self._tally.fault("runs that hung", said[-2000:])
        elif not (killed or ended_well or (disturbed and ended_with_a_line)):
            self._tally.fault("runs that ended as none should", f"{self._name}, status {status}: {said[-2000:]}")

    def _count_in_flight(self, victim: Victim) -> None:
        """Blocks of which a video was read, and no record was written."""
        rows, _ = read_rows(self._world.path / STORE, ["row", "video_id"])
        read = self._world.videos_read()
        committed = {int(name.partition(".")[0]) for name in self._world.records()}
        blocks = {row["row"] // BLOCK_ROWS for row in rows.to_pylist() if row["video_id"] in read} - committed
        self._tally.in_flight[self._name, victim.kind].append(len(blocks))
        if len(blocks) > self._place.most_in_flight:
            self._tally.fault("more blocks in flight than can be", f"{self._name}, {victim.kind}: {len(blocks)}")

    def _partial_files(self) -> list[str]:
        return [str(path) for path in (self._world.path / STORE).rglob("*.partial")]

    def _check_finished(self) -> None:
        """What was in the ledger before must be there unchanged."""
        records = self._world.records()
        again = [name for name, record in self._finished.items() if records.get(name) != record]
        self._tally.fault("finished blocks done again", f"{self._name}: {again}", len(again))
        self._finished = records

    def _retry_and_compare(self) -> None:
        """Retry what lost its decoding process, without a kill; the store must be that of an undisturbed run."""
        failures = [json.loads(record)["failures"] for record in self._finished.values()]
        crashed = sum(failure["code"] == "decoder_crashed" for each in failures for failure in each)
        self._tally.counts["rows failed by the death of their decoding process, then retried"] += crashed
        self._finished = {
            name: record
            for (name, record), failed in zip(self._finished.items(), failures, strict=True)
            if not any(failure["code"] == "decoder_crashed" for failure in failed)
        }
        status = self._end_of(self._world.start([*self._place.options, *RETRY], self._log))
        self._judge_end(status, killed=False, disturbed=False)
        self._check_finished()
        store = self._world.store()
        for name, count in compare(store, self._world.store(UNDISTURBED)).items():
            self._tally.fault(name, self._name, count)
        left = self._partial_files()
        self._tally.fault("partial files left", f"{self._name}: {left}", len(left))
        self._tally.counts["stores filled"] += 1
        self._tally.counts["rows compared"] += len(store.rows())
        self._finished = {}
        shutil.rmtree(self._world.path / STORE)
