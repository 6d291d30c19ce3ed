from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fouls.commands.manifest import CLASSES_SHOWN, FAILURES_SHOWN, Format, app
from fouls.errors import ConfigError
from fouls.manifests.builders import BUILDERS
from fouls.manifests.table import read_manifest, tasks_of
from tests.media import frame_numbered_video


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with two clips beside it."""
    for name in ("run/a.mp4", "sit/b.mp4"):
        frame_numbered_video(tmp_path / "clips" / name, 5)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_the_formats_are_those_that_there_are() -> None:
    assert [name.value for name in Format] == list(BUILDERS)


def test_build_and_show(workplace: Path) -> None:
    result = run(
        "build", "../clips", "--format", "videos", "--task", "action", "--label-from", "parent", "--workers", "1"
    )
    assert result.exit_code == 0
    assert "2 videos: 2 probed, 0 unchanged, 0 could not be probed" in result.stdout
    assert (
        result.stdout.splitlines()[-1] == "next: fouls extract --backbone videomae --manifest manifests/clips.parquet"
    )
    assert tasks_of(read_manifest(workplace / "manifests")) == {"action": ["run", "sit"]}
    shown = run("show")
    assert shown.exit_code == 0
    assert "action: samples by class" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "next: fouls extract --backbone videomae"


def test_what_comes_next_may_read_the_same_urls(workplace: Path) -> None:
    result = run("build", "../clips", "--format", "videos", "--workers", "1", "--allow-urls", "https://host/videos")
    assert result.stdout.splitlines()[-1].endswith("clips.parquet --allow-urls https://host/videos")


def test_failures_are_counted_and_cut_short(workplace: Path) -> None:
    names = [f"clip {index}.mp4 {index}" for index in range(40)]
    (workplace / "val.txt").write_text("\n".join(names))
    result = run("build", "val.txt", "--format", "list", "--name", "kinetics")
    assert result.exit_code == 1
    assert "40 videos: 0 probed, 0 unchanged, 40 could not be probed" in result.stdout
    assert result.stdout.count("unreadable: no such file") == FAILURES_SHOWN
    assert f"… and {40 - FAILURES_SHOWN} more" in result.stdout
    assert "split 'valid', read from its name" in result.stderr
    assert "none of the 40 files is there" in result.stderr
    assert "next: no video can be used" in result.stdout
    shown = run("show", "manifests/kinetics.parquet")
    assert f"… and {40 - CLASSES_SHOWN} more classes; --all lists them" in shown.stdout
    assert run("show", "--all").stdout.count("unreadable: no such file") == 40


def test_json(workplace: Path) -> None:
    source = workplace / "data.csv"
    source.write_text("path,split,label.action\n../clips/run/a.mp4,train,run\nnix.mp4,val,\n")
    built = run("build", source, "--format", "csv", "--out", "deep/m.parquet", "--json", "--workers", "1")
    assert built.exit_code == 1
    report = json.loads(built.stdout)
    assert {name: report[name] for name in ("manifest", "rows", "probed", "reused", "failed")} == {
        "manifest": "deep/m.parquet",
        "rows": 2,
        "probed": 1,
        "reused": 0,
        "failed": 1,
    }
    assert report["failures"] == [{"path": str(workplace / "nix.mp4"), "probe_error": "unreadable: no such file"}]
    shown = json.loads(run("show", "deep/m.parquet", "--json").stdout)
    assert shown["videos"] == shown["samples"] == 2
    assert shown["tasks"]["action"] == {
        "classes": ["run"],
        "counts": {"run": {"train": 1, "valid": 0}},
        "kind": "label",
        "unit": "samples",
    }
    assert shown["splits"]["valid"]["failed"] == 1
    assert shown["splits"]["train"]["labelled"] == {"action": 1}
    assert len(shown["fingerprint"]) == 64


def test_labels_and_keypoints_a_frame(workplace: Path) -> None:
    names = ["nose", "tail"]
    columns = [f"{name},{coord}" for name in names for coord in ("x", "y", "likelihood")]
    header = zip(["scorer", "bodyparts", "coords"], *(["net", *column.split(",")] for column in columns), strict=True)
    lines = [",".join(cells) for cells in header]
    (workplace / "aDLC.csv").write_text("\n".join([*lines, *(f"{frame}" + ",1,2,0.5" * 2 for frame in range(5))]))
    labels = "\n".join(["Frame,Action", "0,1", "1,0", "2,5"])
    (workplace / "prediction_a.mp4_1.csv").write_text(labels)
    built = run(
        *("build", ".", "--format", "mouse", "--root", "../clips/run", "--split", "train", "--workers", "1"),
        *("--trial-frames", "5", "--frame-offset", "2", "--merge", "withdrawal=1,3,5", "--keypoints", "tail, nose"),
    )
    assert built.exit_code == 0
    shown = json.loads(run("show", "--json").stdout)
    assert shown["keypoints"] == ["tail", "nose"]
    assert shown["splits"]["train"]["with_keypoints"] == 1
    assert shown["tasks"]["action"]["kind"] == "frame_label"
    assert shown["tasks"]["action"]["counts"]["withdrawal"] == {"train": 2}
    text = run("show").stdout
    assert "keypoints" in text
    assert "action: frames by class" in text


def test_any_number_of_labels_a_video(workplace: Path) -> None:
    (workplace / "train.txt").write_text("../clips/run/a.mp4 0 2\n../clips/sit/b.mp4 2\n")
    assert run("build", "train.txt", "--format", "list", "--multi-label", "--workers", "1").exit_code == 0
    task = json.loads(run("show", "--json").stdout)["tasks"]["action"]
    assert (task["kind"], task["unit"]) == ("multi_label", "samples")
    assert task["counts"] == {"0": {"train": 1}, "1": {"train": 0}, "2": {"train": 2}}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--name", "a", "--out", "b.parquet"], "--name and --out both say where the manifest goes"),
        (["--out", "b.csv"], r"--out is b\.csv; it must be a file that ends in \.parquet"),
        (["--name", "a/b"], "--name is 'a/b'; it becomes manifests/NAME"),
        (["--workers", "0"], "workers is 0; it must be at least 1"),
        (["--probe-timeout", "0"], r"probe timeout is 0\.0 s; it must be greater than 0"),
        (["--class-names", "a.txt", "--class-names", "b.txt"], "--class-names is given twice"),
        (["--split", "train"], "--split is not read by --format videos"),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_options_that_can_not_work(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        run("build", "../clips", "--format", "videos", *arguments)
    assert not Path("manifests").exists()


def test_help_says_what_there_is() -> None:
    result = run("build", "--help")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert all(f"{name} {builder.summary}" in lines for name, builder in BUILDERS.items())
