"""What the README shows works: its session command by command, and its Python example line by line."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fouls import cli
from tests.media import frame_numbered_video

README = (Path(__file__).parents[1] / "README.md").read_text()
SESSION = re.findall(r"^\$ fouls (.*)$", README, flags=re.M)
PYTHON = next(
    block for block in re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S) if "open_store" in block
)

FAILING = {"manifest build", "extract"}
"""Commands of the session that end with 1, for the file that is cut off."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's tree of videos, small: two clips a class and split, one of them cut off."""
    for split in ("train", "test"):
        for name in ("Archery", "Surfing"):
            for clip in ("g01_c01", "g01_c02"):
                frame_numbered_video(
                    tmp_path / "videos" / split / name / f"v_{name}_{clip}.avi",
                    20 if name == "Surfing" else 90,
                    codec="mpeg4",
                )
    broken = tmp_path / "videos" / "train" / "Surfing" / "v_Surfing_g01_c01.avi"
    broken.write_bytes(broken.read_bytes()[:500])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["fouls", *shlex.split(line)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_session(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.split()[0] for line in SESSION] == [
        *("manifest", "extract", "failures", "train-head", "evaluate", "predict")
    ]
    for line in SESSION:
        expected = int(any(line.startswith(failing) for failing in FAILING))
        assert run(line, monkeypatch) == expected, capsys.readouterr().err
    assert (folder / "runs" / "videomae_small-linear-1" / "confusion_action_test.png").exists()


def test_the_python_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(SESSION[0], monkeypatch)
    extract = "extract --backbone videomae_small --weights random:0 --pool mean --pool temporal --out cache/videomae"
    run(extract, monkeypatch)
    frames = np.random.default_rng(0).integers(0, 256, (1, 16, 64, 96, 3), dtype=np.uint8)
    scope: dict[str, Any] = {"frames": frames}
    exec(PYTHON.replace('"videomae", weights', '"videomae_small", weights'), scope)
    assert scope["store"]["mean"].shape == (8, 384)
    assert scope["store"].rows()["status"].to_pylist().count("done") == 7
    assert len(scope["store"].fingerprint) == 64
    assert isinstance(scope["manifest"], pa.Table)
    assert scope["x"].shape == (1, 3, 16, 224, 224)
    assert scope["features"]["mean"].shape == (1, 384)


def test_the_two_commands_are_there() -> None:
    assert "    fouls extract --backbone videomae --gpus 4\n" in README
    assert "    fouls train-head --features cache/videomae\n" in README
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)$", README, flags=re.M):
        assert f"\n{target}:" in makefile
