"""The commands of docs/systems.md train what they say, on stores and manifests of the form that they ask for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fouls.cache.spec import SamplingSpec
from fouls.commands.train_head import train_head
from fouls.heads.keypoints import MOUSE_KEYPOINTS
from fouls.manifests.builders.ma52 import BODY_CLASSES
from fouls.manifests.builders.mvfoul import TASKS as MVFOUL_TASKS
from fouls.manifests.table import write_manifest
from tests.heads.worlds import Clip, Video, make_manifest, make_store

SECTIONS = re.split(r"^## ", Path("docs/systems.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
COMMANDS = [
    (section.partition("\n")[0], line)
    for section in SECTIONS
    for line in re.findall(r"^\$ (fouls train-head .*)$", section, flags=re.MULTILINE)
]
D, NUM_FRAMES = 48, 32
POOLS = {"mean": (D,), "cls": (D,), "temporal": (4, D), "tokens": (16, D)}
MA52_TASKS = {"action": [f"action {index}" for index in range(52)], "body": BODY_CLASSES}
PLAIN_TASKS = {"action": ["run", "jump", "sit"]}


def tasks_of(section: str) -> dict[str, Any]:
    """The tasks that the section's data set has."""
    if "MVFoul" in section or section == "VARS":
        return MVFOUL_TASKS
    return MA52_TASKS if section == "MA-52" else PLAIN_TASKS


def write_world(section: str, words: list[str]) -> None:
    """The store that a command reads, with what the section's extraction would put there, and its manifest."""
    rng = np.random.default_rng(0)
    tasks, per_frame = tasks_of(section), section in ("Mouse behaviour", "MS-TCN")
    dense, passes = section == "MS-TCN", 3 if "--augmented" in words else 1
    keypoints = MOUSE_KEYPOINTS if "--pose" in words else ()
    pools = {"MA-52": ("tokens", "temporal"), "Attentive probe": ("tokens",), "VARS": ("cls",), "MS-TCN": ("temporal",)}
    shapes = {pool: POOLS[pool] for pool in pools.get(section, ("mean", "temporal"))}

    def clip(number: int, augment: int) -> Clip:
        features = {pool: rng.standard_normal(shape) for pool, shape in shapes.items()}
        return Clip(features=features, clip=number, augment=augment, frames=range(16 * number, 16 * number + 16))

    videos = [
        Video(
            video_id=f"{split}/{sample}/{view}",
            sample_id=f"{split}/{sample}",
            view=view,
            split=split,
            num_frames=NUM_FRAMES,
            labels={task: sample % len(names) for task, names in tasks.items()},
            frame_labels={task: rng.integers(0, len(names), NUM_FRAMES).tolist() for task, names in tasks.items()},
            keypoints=rng.random((NUM_FRAMES, 6, 3)).astype(np.float32),
            clips=[clip(number, augment) for number in range(1 + dense) for augment in range(passes)],
        )
        for split, count in (("train", 8), ("valid", 4))
        for sample in range(count)
        for view in range(2 if tasks is MVFOUL_TASKS else 1)
    ]
    sampling = SamplingSpec(kind="dense", num_frames=16, frame_stride=1, hop=16) if dense else None
    grids = {"tokens": (4, 2, 2)} if "tokens" in shapes else None
    backbone = "mvit_v2_s" if section == "VARS" else "videomae_base"
    store = Path(words[words.index("--features") + 1])
    make_store(store, videos, grids=grids, sampling=sampling, backbone=backbone)
    manifest = make_manifest(videos, tasks, frame_tasks=list(tasks) if per_frame else [], keypoints=keypoints)
    write_manifest(manifest, Path("manifests/all.parquet"))


@pytest.mark.parametrize(("section", "command"), COMMANDS, ids=[section for section, _ in COMMANDS])
def test_the_command_trains(section: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)[2:]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fouls.heads.train_head.write_confusions", lambda *_: [])  # pictures are tested elsewhere
    write_world(section, words)
    app = typer.Typer()
    app.command()(train_head)
    result = CliRunner().invoke(app, [*words, "--epochs", "1", "--json"])
    assert result.exit_code == 0, result.exception or result.output
    config = json.loads((Path(json.loads(result.stdout)["run"]) / "config.json").read_text())
    assert config["head"]["name"] == words[words.index("--head") + 1]
    assert {task["name"] for task in config["tasks"]} == set(tasks_of(section))


def test_every_section_has_a_row_and_a_command() -> None:
    table = SECTIONS and Path("docs/systems.md").read_text(encoding="utf-8").partition("\n## ")[0]
    titles = [section.partition("\n")[0] for section in SECTIONS]
    assert set(titles) == {title for title, _ in COMMANDS}
    links = re.findall(r"\]\(#([\w-]+)\)", str(table))
    assert sorted(links) == sorted(title.lower().replace(" ", "-") for title in titles)
