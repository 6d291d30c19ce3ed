"""``fouls demo``: every step of the main job, as a user would type it, and what was measured."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fouls.commands import console
from fouls.demo.backbone import write_backbone
from fouls.demo.dataset import make_dataset
from fouls.demo.scenes import CAMERAS
from fouls.errors import ConfigError, FoulsError

NUM_SAMPLES = 480
SEED = 0
STORE = "cache/videomae"
MARKER = ".fouls-demo"
"""Says that a folder is a demo's, and may be made anew."""

RunCommand = Callable[[list[str]], int]
"""Runs a command line of fouls in this process; gives its exit status."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One head of the comparison."""

    run: str
    head: str
    pool: str
    shows: str
    options: str = ""

    @property
    def arguments(self) -> str:
        """What ``train-head`` is told."""
        return f"--head {self.head} --pool {self.pool} {self.options}--name {self.run}"


TASKS = ("colour", "motion")

PROBES = (
    Probe(run="linear-mean", head="linear", pool="mean", shows="one vector a clip"),
    Probe(run="linear-temporal", head="linear", pool="temporal", shows="a vector a step in time"),
    Probe(
        run="tcn-temporal", head="tcn", pool="temporal", shows="a vector a step in time", options=" --time-pooling max"
    ),
)


def run_demo(folder: Path, run_command: RunCommand) -> None:
    """Make a data set and a backbone, extract, train, evaluate, and print what was measured beside chance.

    Args:
        folder: where everything goes; a demo that lies there is made anew.
        run_command: see :data:`RunCommand`.

    Raises:
        ConfigError: the folder holds something else.
        FoulsError: a step failed that should not have.
    """
    _clear(folder)
    started = time.perf_counter()
    with contextlib.chdir(folder):
        _make(Path("videos"), Path("weights"))
        _main_job(run_command)
        scores = {probe.run: _test_metrics(Path("runs") / probe.run) for probe in PROBES}
    _print_scores(scores)
    _print_places(folder, time.perf_counter() - started)


def _clear(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise ConfigError(f"{folder} holds something that is not a demo: name another folder with --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def _make(videos: Path, weights: Path) -> None:
    _heading("A small data set: a disc, 4 colours × 4 motions, filmed by 2 cameras; one file is broken on purpose")
    with console.progress("encoding", NUM_SAMPLES * len(CAMERAS), "videos") as advance:
        make_dataset(videos, num_samples=NUM_SAMPLES, seed=SEED, on_video=advance)
    _heading("A small VideoMAE in the hub's format")
    write_backbone(weights)
    console.warn("its weights are made up: it was never trained, so the heads have to find what chance left in it")


def _main_job(run_command: RunCommand) -> None:
    def step(heading: str, command: str, *, expected: int = 0) -> None:
        _heading(heading)
        console.say(f"$ fouls {command}", style="bold cyan")
        status = run_command(shlex.split(command))
        if status != expected:
            raise FoulsError(f"`fouls {command}` ended with {status}, expected {expected}: the demo stops here")

    step(
        "The manifest: every video probed once; the exit status says that one could not be",
        "manifest build videos/videos.csv --format csv --name demo",
        expected=1,
    )
    step(
        "Every video through the frozen backbone, once; the broken one costs its own row and nothing else",
        "extract --backbone videomae --weights weights --pool mean --pool temporal",
        expected=1,
    )
    step("Which one, and why", f"failures {STORE}")
    step("The store", f"status {STORE}")
    for probe in PROBES:
        train = (
            f"train-head --features {STORE} --head {probe.head} --pool {probe.pool}{probe.options} --name {probe.run}"
        )
        step(f"A {probe.head} head for both tasks at once; {probe.pool} is {probe.shows}", train)
        step("On videos it never saw", f"evaluate runs/{probe.run} --split test")


def _heading(text: str) -> None:
    console.say("")
    console.say(text, style="bold")


def _test_metrics(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "metrics_test.json").read_text())
    return metrics


def _print_scores(scores: dict[str, dict[str, Any]]) -> None:
    _heading("What was measured: accuracy on the test split")
    chance = {task: of_task["chance"]["accuracy"] for task, of_task in scores[PROBES[0].run]["tasks"].items()}
    rows: list[list[object]] = [["chance", "", *(_percent(chance[task]) for task in TASKS), ""]]
    for probe in PROBES:
        tasks = scores[probe.run]["tasks"]
        rows.append([probe.head, probe.pool, *(_percent(tasks[task]["accuracy"]) for task in TASKS), probe.shows])
    console.table(None, ["head", "pool", *TASKS, ""], rows)
    console.say(
        f"{scores[PROBES[0].run]['samples']} test samples. A mean over the whole clip forgets motion; one over each "
        "step of time does not."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _print_places(folder: Path, seconds: float) -> None:
    _heading(f"Where everything lies ({seconds:.0f} s in all)")
    best = PROBES[-1].run
    rows = [
        ["videos and their list", "videos/, videos/videos.csv"],
        ["manifest", "manifests/demo.parquet"],
        ["backbone", "weights/"],
        ["features", f"{STORE}/"],
        ["runs", "runs/"],
        ["pictures", f"runs/{best}/curves.png, runs/{best}/confusion_motion_test.png"],
    ]
    console.table(None, ["what", f"below {folder}"], rows)
    console.next_step(f"cd {folder}, then fouls train-head --features {STORE} --head mlp --pool temporal")
