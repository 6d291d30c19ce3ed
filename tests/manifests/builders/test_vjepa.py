from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ManifestError
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.builders.vjepa import collect


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_paths_and_labels(tmp_path: Path) -> None:
    source = write(
        tmp_path / "k400_train_paths.csv",
        '/data/a.mp4 3\nb.mp4 0\n"with space/c d.mp4" 1\nwith space/e f.mp4 2\nwith space/g h.mp4::4\nno label.mp4\n',
    )
    listing = collect(BuildOptions(sources=(source,)))
    assert [(row.path, row.labels["action"]) for row in listing.rows] == [
        ("/data/a.mp4", 3),
        (str(tmp_path / "b.mp4"), 0),
        (str(tmp_path / "with space" / "c d.mp4"), 1),
        (str(tmp_path / "with space" / "e f.mp4"), 2),
        (str(tmp_path / "with space" / "g h.mp4"), 4),
        (str(tmp_path / "no label.mp4"), None),
    ]
    assert {row.split for row in listing.rows} == {"train"}
    assert listing.tasks == {"action": ("0", "1", "2", "3", "4")}
    assert listing.name == "k400_train_paths"


def test_options(tmp_path: Path) -> None:
    source = write(tmp_path / "paths.csv", "a.mp4 1\n")
    names = write(tmp_path / "names.txt", "run\nsit\n")
    (tmp_path / "videos").mkdir()
    listing = collect(
        BuildOptions(
            sources=(source,), roots=(tmp_path / "videos",), splits=("val",), task="move", class_names={"": names}
        )
    )
    (row,) = listing.rows
    assert (row.path, row.split, row.labels) == (str(tmp_path / "videos" / "a.mp4"), "valid", {"move": 1})
    assert listing.tasks == {"move": ("run", "sit")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label\n/data/a.mp4,3\n", r"line 2: '/data/a\.mp4,3' has commas between its fields; --format csv"),
        ('"/data/a.mp4" 3 4\n', "line 1: 3 fields; a line is a path and a label"),
        ("/data/a.mp4 3 4\n", r"line 1: several labels \(3 4\)"),
        ("\n", "an empty list"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(BuildOptions(sources=(write(tmp_path / "paths.csv", text),)))
