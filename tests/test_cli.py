"""The command line as a user meets it: whole commands, their exit status, their one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fouls import cli
from tests.pipeline.backbones.hub_cache import cache, put
from tests.pipeline.conftest import NUM_VIDEOS, Project, many_videos, project, tiny_weights

__all__ = ["cache", "many_videos", "project", "tiny_weights"]

HEAVY = {"torch", "torchvision", "transformers", "zarr", "dask", "distributed", "decord", "av", "pyarrow", "matplotlib"}


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[[str], Ran]


@pytest.fixture
def fouls(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in the project's folder, as the console script does."""
    monkeypatch.chdir(project.path)

    def run(line: str) -> Ran:
        arguments = line.replace("WEIGHTS", str(project.weights)).split()
        monkeypatch.setattr(sys, "argv", ["fouls", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, fouls.cli, fouls; print(' '.join(sorted(set(sys.modules) & set(sys.argv[1].split()))))"
    loaded = subprocess.run(
        [sys.executable, "-c", code, " ".join(HEAVY)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert loaded == []


def test_help_names_every_command_of_the_contract(fouls: Run) -> None:
    status, out, _ = fouls("--help")
    assert status == 0
    commands = (
        "manifest backbones extract status failures verify export migrate "
        "train-head evaluate evaluate-mvfoul predict classify demo"
    )
    assert all(command in out for command in commands.split())


def test_extract_status_verify(fouls: Run) -> None:
    extracted = fouls("extract --backbone videomae --weights WEIGHTS")
    assert extracted.status == 0, extracted.err
    assert f"cache/videomae: {NUM_VIDEOS} of {NUM_VIDEOS} rows done, 0 failed, 0 to do" in extracted.out
    assert "next: fouls train-head --features cache/videomae" in extracted.out
    plain = json.loads(fouls("status cache/videomae --json").out)
    assert {name: plain[name] for name in ("rows", "done", "failed", "todo")} == {
        "rows": NUM_VIDEOS,
        "done": NUM_VIDEOS,
        "failed": 0,
        "todo": 0,
    }
    assert len(plain["fingerprint"]) == 64
    assert plain["spec"]["backbone"] == "videomae_d32_l2"
    shown = fouls("status cache/videomae").out
    assert "pyav" in shown
    assert "bottleneck" in shown
    assert fouls("verify cache/videomae").status == 0


def test_failures_are_listed_retried_and_exit_with_one(fouls: Run, project: Project) -> None:
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    assert fouls("extract --backbone videomae --weights WEIGHTS").status == 1
    listed = fouls("failures cache/videomae")
    assert "v1" in listed.out
    assert "unreadable" in listed.out
    assert [row["video_id"] for row in json.loads(fouls("failures cache/videomae --json").out)] == ["v1"]
    (project.path / "away.mp4").rename(project.videos / "v1.mp4")
    retried = fouls("failures cache/videomae --retry")
    assert retried.status == 0, retried.err
    assert f"{NUM_VIDEOS} of {NUM_VIDEOS} rows done, 0 failed" in retried.out
    assert "no failed rows" in fouls("failures cache/videomae").out


def test_verify_finds_a_flipped_bit(fouls: Run, project: Project) -> None:
    fouls("extract --backbone videomae --weights WEIGHTS")
    chunk = project.path / "cache" / "videomae" / "mean" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    data[7] ^= 4
    chunk.write_bytes(data)
    status, out, _ = fouls("verify cache/videomae --json")
    assert status == 1
    assert json.loads(out)["damaged"] == [1]


def test_dry_run_writes_nothing(fouls: Run, project: Project) -> None:
    before = sorted(project.path.rglob("*"))
    status, out, _ = fouls("extract --backbone videomae --weights WEIGHTS --dry-run --json")
    assert status == 0
    plain = json.loads(out)
    assert (plain["new_rows"], plain["rows"], plain["blocks"]) == (NUM_VIDEOS, NUM_VIDEOS, 3)
    assert plain["bytes"] == NUM_VIDEOS * 32 * 2
    assert plain["seconds"] > 0
    assert sorted(project.path.rglob("*")) == before


def test_made_up_weights_are_said_and_recorded(fouls: Run) -> None:
    status, out, err = fouls("extract --backbone videomae_small --weights random:7 --limit 1")
    assert status == 0, err
    assert "the weights are made up (random:7)" in err
    assert json.loads(fouls("status cache/videomae_small --json").out)["spec"]["weights"]["random_seed"] == 7
    assert "made up (random:7)" in fouls("status cache/videomae_small").out
    assert "1 of 1 rows done" in out


def test_fallback_is_said_and_retried_as_it_was(fouls: Run, project: Project, cache: Path) -> None:
    put(cache, "MCG-NJU/videomae-base-finetuned-kinetics", project.weights)
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    status, out, err = fouls("extract --backbone mvit_v2_b --fallback dinov2_b,videomae --json")
    assert status == 1
    notes = [line for line in err.splitlines() if line.startswith("note: ")]
    assert [note.split()[1] for note in notes] == ["mvit_v2_b", "dinov2_b"]
    assert [note.rpartition("; ")[2] for note in notes] == ["trying dinov2_b next", "trying videomae next"]
    plain = json.loads(out)
    assert (plain["store"], plain["spec"]["backbone"]) == ("cache/videomae", "videomae_d32_l2")
    (project.path / "away.mp4").rename(project.videos / "v1.mp4")
    retried = fouls("failures cache/videomae --retry")
    assert retried.status == 0, retried.err
    assert "not used" not in retried.err
    assert f"{NUM_VIDEOS} of {NUM_VIDEOS} rows done, 0 failed" in retried.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extract --backbone videomea --weights WEIGHTS", "videomae"),
        ("extract --backbone videomae --weights nowhere/at/all", "nowhere/at/all"),
        ("extract --backbone videomae --weights random", "random:0"),
        ("extract --backbone videomae --weights WEIGHTS --pool clz", "no pool 'clz'; it has mean"),
        ("extract --backbone videomae --weights WEIGHTS --gpus 4096", "--gpus 4096: this machine has"),
        ("extract --backbone videomae --weights WEIGHTS --manifest nothing", "fouls manifest build"),
        ("extract --backbone videomae --weights WEIGHTS --window 9", "START:STOP"),
        (
            "extract --backbone videomae --weights WEIGHTS --decoder vlc",
            "allowed: auto, pyav, decord, torchcodec, cuda",
        ),
        ("extract --backbone videomae --weights WEIGHTS --batch-size 0", "--batch-size is 0"),
        ("extract --backbone videomae --weights WEIGHTS --hop 3", "does not read hop"),
        ("status nowhere", "no store at nowhere: `fouls extract"),
        ("failures nowhere", "no store at nowhere"),
        ("train-head --features nowhere", "no store at nowhere"),
        ("evaluate runs/none", "no run at runs/none"),
        ("predict runs/none v.mp4", "no run at runs/none"),
        ("classify v.mp4 --backbone dinov2_s --weights random:0", "dinov2_s has no classifier with these weights (its"),
        ("demo --out videos", "videos holds something that is not a demo"),
    ],
)
def test_what_the_user_can_mend_is_one_line(fouls: Run, line: str, message: str) -> None:
    status, out, err = fouls(line)
    assert status == 2, out + err
    assert message in err
    errors = [text for text in err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in err


def test_debug_shows_the_traceback(fouls: Run) -> None:
    from fouls.errors import StoreError

    with pytest.raises(StoreError):
        fouls("--debug status nowhere")


def test_predict_says_what_evaluate_says(fouls: Run, project: Project) -> None:
    listing = ["path,split,label.size"]
    listing += [f"v{n}.mp4,{'test' if n % 3 == 2 else 'train'},{'long' if n >= 5 else 'short'}" for n in range(10)]
    (project.videos / "list.csv").write_text("\n".join(listing))
    (project.path / "manifests" / "videos.parquet").unlink()
    assert fouls("manifest build videos/list.csv --format csv --name sizes").status == 0
    assert fouls("extract --backbone videomae --weights WEIGHTS").status == 0
    assert fouls("train-head --features cache/videomae --head linear --epochs 5 --name a").status == 0
    assert fouls("evaluate runs/a").status == 0
    import pyarrow.parquet as pq

    expected = {
        row["sample_id"]: row["probabilities"]
        for row in pq.read_table(project.path / "runs" / "a" / "predictions_test.parquet").to_pylist()
    }
    (project.path / "text.mp4").write_text("no video")
    status, out, _ = fouls("predict runs/a videos/v2.mp4 videos/v8.mp4 text.mp4 --json")
    plain = json.loads(out)
    assert status == 1
    assert list(plain["failures"]) == ["text.mp4"]
    (task,) = plain["tasks"]
    assert task["samples"] == ["videos/v2.mp4", "videos/v8.mp4"]
    for name, probabilities in zip(["v2", "v8"], task["probabilities"], strict=True):
        assert probabilities == pytest.approx(expected[name], abs=1e-4)


def test_classify_prints_the_best_classes(fouls: Run, project: Project) -> None:
    (project.path / "text.mp4").write_text("no video")
    status, out, err = fouls("classify videos/v2.mp4 videos/v5.mp4 text.mp4 --backbone videomae --weights WEIGHTS")
    assert status == 1
    assert "videos/v5.mp4" in out
    assert "class 3" in out
    assert "text.mp4: unreadable" in err
    line = "classify videos/v2.mp4 videos/v5.mp4 --backbone videomae --weights WEIGHTS --top 2 --json"
    status, out, err = fouls(line)
    assert status == 0, err
    plain = json.loads(out)
    assert plain["backbone"] == "videomae_d32_l2"
    assert list(plain["videos"]) == ["videos/v2.mp4", "videos/v5.mp4"]
    assert plain["failures"] == {}
    for best in plain["videos"].values():
        assert [answer["class"] for answer in best] == [f"class {answer['index']}" for answer in best]
        first, second = (answer["probability"] for answer in best)
        assert 1 > first >= second > 0


def test_the_module_runs_too(project: Project) -> None:
    ran = subprocess.run([sys.executable, "-m", "fouls", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("fouls ")
