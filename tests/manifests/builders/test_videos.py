from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.listing import BuildOptions, Listing
from fouls.manifests.builders.videos import collect


def make_tree(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def relative(listing: Listing) -> list[str]:
    return [str(Path(row.path).relative_to(listing.root)) for row in listing.rows]


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **others)  # type: ignore[arg-type]


def test_media_files_sorted_by_path_part(tmp_path: Path) -> None:
    make_tree(tmp_path, "b/2.MP4", "b/1.avi", "b.mkv", "a/x.webm", "a/notes.txt", "a/._x.webm", ".hidden/y.mp4")
    listing = collect(options(tmp_path))
    assert relative(listing) == ["a/x.webm", "b/1.avi", "b/2.MP4", "b.mkv"]
    assert listing.root == tmp_path
    assert listing.name == tmp_path.name
    assert listing.tasks == {}
    assert {row.split for row in listing.rows} == {""}


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    make_tree(tmp_path, "data/a.mp4", "store/b.mp4")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert relative(collect(options(tmp_path / "data"))) == ["a.mp4", "linked/b.mp4"]


def test_class_and_split_from_the_path(tmp_path: Path) -> None:
    make_tree(tmp_path, "train/run/1.mp4", "Val/sit/2.mp4", "Val/run/3.mp4", "holdout/sit/4.mp4")
    listing = collect(options(tmp_path, task="action", label_from="parent", split_from="part:0"))
    assert [(row.split, row.labels) for row in listing.rows] == [
        ("valid", {"action": 0}),
        ("valid", {"action": 1}),
        ("holdout", {"action": 1}),
        ("train", {"action": 0}),
    ]
    assert listing.tasks == {"action": ("run", "sit")}


def test_several_sources_count_parts_below_their_common_folder(tmp_path: Path) -> None:
    make_tree(tmp_path, "train/run/1.mp4", "test/run/1.mp4", "other/2.mp4")
    listing = collect(options(tmp_path / "train", tmp_path / "test", split_from="part:0"))
    assert listing.root == tmp_path
    assert [row.split for row in listing.rows] == ["test", "train"]
    below = collect(options(tmp_path / "train", roots=(tmp_path,), split_from="part:0"))
    assert [row.split for row in below.rows] == ["train"]


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    make_tree(tmp_path, "run/1.mp4", "run/2.mp4")
    listing = collect(options(tmp_path / "run" / "2.mp4", task="action", label_from="parent"))
    assert relative(listing) == ["2.mp4"]
    assert listing.tasks == {"action": ("run",)}


def test_class_names_give_the_order(tmp_path: Path) -> None:
    make_tree(tmp_path, "run/1.mp4", "sit/2.mp4")
    names = tmp_path / "names.txt"
    names.write_text("sit\nfly\nrun\n")
    given = {"task": "action", "label_from": "parent", "class_names": {"": names}}
    listing = collect(options(tmp_path, **given))
    assert listing.tasks == {"action": ("sit", "fly", "run")}
    assert [row.labels["action"] for row in listing.rows] == [2, 0]
    names.write_text("sit\n")
    with pytest.raises(ManifestError, match=r"run/1\.mp4: label 'run' is none of the 1 classes of .*names\.txt"):
        collect(options(tmp_path, **given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"task": "action"}, "--task NAME and --label-from PART go together"),
        ({"label_from": "parent"}, "--task NAME and --label-from PART go together"),
        ({"task": "a", "label_from": "folder"}, "--label-from is 'folder'; allowed: parent, part:N"),
        ({"split_from": "part:-1"}, "--split-from is 'part:-1'; allowed: parent, part:N"),
        ({"class_names": {"": Path("x")}}, "--class-names needs --task NAME and --label-from PART"),
        ({"roots": (Path("/nowhere"),)}, "--root /nowhere: no such folder"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, given: dict[str, object], expected: str) -> None:
    make_tree(tmp_path, "run/1.mp4")
    with pytest.raises(ConfigError, match=expected):
        collect(options(tmp_path, **given))


def test_paths_without_the_part(tmp_path: Path) -> None:
    make_tree(tmp_path, "train/run/1.mp4", "train/2.mp4")
    with pytest.raises(
        ManifestError, match=r"train/2\.mp4: --label-from part:1 asks for folder 1 below .* has 1 above"
    ):
        collect(options(tmp_path, task="action", label_from="part:1"))


def test_sources_without_videos(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no media file below it \(endings: \.3gp"):
        collect(options(tmp_path))
    with pytest.raises(ManifestError, match="no such folder or file"):
        collect(options(tmp_path / "nix"))
