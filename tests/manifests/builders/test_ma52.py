from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.builders.ma52 import BODY_CLASSES, FINE_TO_COARSE, collect

# As the data set's authors write the map: coarse class → first and last fine class.
PUBLISHED = {0: (0, 4), 1: (5, 10), 2: (11, 23), 3: (24, 31), 4: (32, 37), 5: (38, 47), 6: (48, 51)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The names of the classes, in lines that end as the published ones do."""
    (tmp_path / "label_name.txt").write_bytes(b"\r\n".join(b"%d\tmove %d" % (index, index) for index in range(52)))
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_the_published_map() -> None:
    assert len(FINE_TO_COARSE) == 52
    for coarse, (first, last) in PUBLISHED.items():
        assert {FINE_TO_COARSE[fine] for fine in range(first, last + 1)} == {coarse}
    assert len(BODY_CLASSES) == len(PUBLISHED)


def test_one_label_is_two_tasks(folder: Path) -> None:
    train = write(folder, "train_list_videos.txt", "a.mp4 0\nb.mp4 11\nc.mp4 51\nd.mp4 -1\n")
    listing = collect(BuildOptions(sources=(train,)))
    assert [row.labels for row in listing.rows] == [
        {"action": 0, "body": 0},
        {"action": 11, "body": 2},
        {"action": 51, "body": 6},
        {"action": None, "body": None},
    ]
    assert {row.split for row in listing.rows} == {"train"}
    assert listing.tasks["action"] == tuple(f"move {index}" for index in range(52))
    assert listing.tasks["body"] == BODY_CLASSES
    assert (listing.name, listing.root) == ("ma52", folder)


def test_the_zeros_of_a_test_list_are_no_labels(folder: Path) -> None:
    train = write(folder, "train_list_videos.txt", "a.mp4 0\nb.mp4 0\n")
    test = write(folder, "test_list_videos.txt", "c.mp4 0\nd.mp4 0\n")
    listing = collect(BuildOptions(sources=(train, test)))
    assert [row.labels["action"] for row in listing.rows] == [0, 0, None, None]
    assert [row.labels["body"] for row in listing.rows] == [0, 0, None, None]
    assert listing.notes[-1] == "test: all 2 labels are 0, which stands for labels held back: read as none"

    labelled = write(folder, "test_list_videos.txt", "c.mp4 0\nd.mp4 1\n")
    listing = collect(BuildOptions(sources=(labelled,)))
    assert [row.labels["action"] for row in listing.rows] == [0, 1]
    assert "held back" not in " ".join(listing.notes)


def test_the_names_of_the_classes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write(tmp_path_factory.mktemp("lists"), "val.txt", "a.mp4 3\n")
    with pytest.raises(ManifestError, match=r"no label_name\.txt beside .*val\.txt; --class-names FILE names it"):
        collect(BuildOptions(sources=(elsewhere,)))
    for given in ({"": folder / "label_name.txt"}, {"action": folder / "label_name.txt"}):
        assert collect(BuildOptions(sources=(elsewhere,), class_names=given)).rows[0].labels == {"action": 3, "body": 0}
    with pytest.raises(ConfigError, match="--class-names body=…: no such task"):
        collect(BuildOptions(sources=(elsewhere,), class_names={"body": folder / "label_name.txt"}))
    few = write(folder, "few.txt", "run\nsit\nlie\nfly\n")
    with pytest.raises(ManifestError, match="4 class names; MA-52 has 52"):
        collect(BuildOptions(sources=(elsewhere,), class_names={"": few}))


def test_the_real_lists(shared: Path) -> None:
    lists = tuple(shared / "ma52" / f"{split}_list_videos.txt" for split in ("train", "val"))
    listing = collect(BuildOptions(sources=lists))
    splits = [row.split for row in listing.rows]
    assert (splits.count("train"), splits.count("valid")) == (11_250, 5_586)
    first = listing.rows[0]
    assert (Path(first.path).name, first.labels) == ("0003_01_0001.mp4", {"action": 9, "body": 1})
    assert listing.tasks["action"][9] == "nodding"
    for row in listing.rows:
        fine, coarse = row.labels["action"], row.labels["body"]
        assert fine is not None
        assert coarse is not None
        assert PUBLISHED[coarse][0] <= fine <= PUBLISHED[coarse][1]
    # What the coarse names promise, in the words of the fine ones.
    words = {"head": "head", "lower limb": "leg", "body-hand": "arm", "head-hand": "mouth", "leg-hand": "legs"}
    for coarse_name, word in words.items():
        first_fine, last_fine = PUBLISHED[BODY_CLASSES.index(coarse_name)]
        assert any(word in name for name in listing.tasks["action"][first_fine : last_fine + 1])
