from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.list_file import collect
from fouls.manifests.builders.listing import BuildOptions


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **others)  # type: ignore[arg-type]


def test_the_label_is_the_last_field(tmp_path: Path) -> None:
    source = write(
        tmp_path / "k400" / "train_list.txt",
        "abseiling/a b 12.mp4 3\n/abs/c.mp4\t0\r\n\nd.mp4 -1\nno label.mp4\nhttps://host/e.mp4 1\n",
    )
    listing = collect(options(source))
    folder = tmp_path / "k400"
    assert [(row.path, row.labels["action"]) for row in listing.rows] == [
        (f"{folder}/abseiling/a b 12.mp4", 3),
        ("/abs/c.mp4", 0),
        (f"{folder}/d.mp4", None),
        (f"{folder}/no label.mp4", None),
        ("https://host/e.mp4", 1),
    ]
    assert listing.tasks == {"action": ("0", "1", "2", "3")}
    assert listing.root == folder
    assert listing.name == "train_list"
    assert {row.split for row in listing.rows} == {"train"}
    assert listing.notes == ("train_list.txt: split 'train', read from its name; --split NAME sets another",)


def test_class_names_and_roots(tmp_path: Path) -> None:
    train = write(tmp_path / "lists" / "train.txt", "run/1.mp4 1\nsit/2.mp4 0\n")
    val = write(tmp_path / "lists" / "val.txt", "run/1.mp4 1\n")
    names = write(tmp_path / "names.txt", "sit\nrun\n")
    roots = (tmp_path / "videos_train", tmp_path / "videos_val")
    for root in roots:
        root.mkdir()
    listing = collect(options(train, val, roots=roots, class_names={"": names}, task="motion"))
    assert [row.path for row in listing.rows] == [
        str(tmp_path / path) for path in ("videos_train/run/1.mp4", "videos_train/sit/2.mp4", "videos_val/run/1.mp4")
    ]
    assert [row.labels for row in listing.rows] == [{"motion": 1}, {"motion": 0}, {"motion": 1}]
    assert [row.split for row in listing.rows] == ["train", "train", "valid"]
    assert listing.tasks == {"motion": ("sit", "run")}
    assert listing.root == tmp_path
    assert listing.name == "lists"


def test_labels_may_be_names(tmp_path: Path) -> None:
    source = write(tmp_path / "list.txt", "my run.mp4 run\nsit.mp4\tsit down\nunknown.mp4\n")
    names = write(tmp_path / "names.txt", "sit down\nrun\n")
    listing = collect(options(source, class_names={"": names}, splits=("Val",)))
    assert [(Path(row.path).name, row.labels["action"], row.split) for row in listing.rows] == [
        ("my run.mp4", 1, "valid"),
        ("sit.mp4", 0, "valid"),
        ("unknown.mp4", None, "valid"),
    ]
    assert listing.notes == ()


def test_a_list_without_labels_has_no_task(tmp_path: Path) -> None:
    listing = collect(options(write(tmp_path / "videos.txt", "a.mp4\nb c.mp4\n")))
    assert listing.tasks == {}
    assert [Path(row.path).name for row in listing.rows] == ["a.mp4", "b c.mp4"]
    assert listing.notes == ("videos.txt: no split in its name, so its rows have none; --split NAME sets it",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.mp4 1\nb.mp4 1 2\n", r"list\.txt: line 2: several labels \(1 2\); --format list --multi-label reads them"),
        (
            "some/folder 300 2\n",
            "line 1: 'some/folder' has no ending of a video file, so 300 2 look like a number of frames and a label: "
            "folders of frames are not supported",
        ),
        ("a.mp4 -2\n", r"list\.txt: line 1: label -2 is no class; allowed: 0 to 32767"),
        ("a.mp4,3\n", r"list\.txt: line 1: 'a\.mp4,3' has commas between its fields; --format csv reads such files"),
        ("\n\n", r"list\.txt: an empty list"),
    ],
)
def test_lines_that_are_wrong(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(options(write(tmp_path / "list.txt", text)))


def test_any_number_of_labels(tmp_path: Path) -> None:
    source = write(tmp_path / "train.txt", "a b 12.mp4 3 0\nc.mp4 2\nd.mp4\ne.mp4 -1\nhttps://host/f 1 3 3\n")
    listing = collect(options(source, multi_label=True))
    assert [row.labels["action"] for row in listing.rows] == [(0, 3), (2,), None, None, (1, 3)]
    assert listing.rows[0].path == str(tmp_path / "a b 12.mp4")
    assert listing.tasks == {"action": ("0", "1", "2", "3")}
    assert listing.kind_of("action") == "multi_label"
    names = write(tmp_path / "names.txt", "run\njump\nsit\nlie\n")
    listing = collect(options(source, multi_label=True, class_names={"": names}, task="acts"))
    assert listing.tasks == {"acts": ("run", "jump", "sit", "lie")}
    assert listing.rows[0].labels == {"acts": (0, 3)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.mp4 1 4\n", "line 1: label 4 is no class; .* has 2 classes, 0 to 1"),
        ("a.mp4 0 -1\n", "line 1: labels 0, -1: '' and -1 stand alone, for no label"),
        ("a.mp4 0\nb.mp4 run\n", "line 2: label 'run': --multi-label reads labels that are numbers"),
        ("some/folder 300 2\n", "line 1: 'some/folder' has no ending of a video file"),
    ],
)
def test_lines_that_are_wrong_where_there_may_be_many_labels(tmp_path: Path, text: str, expected: str) -> None:
    names = write(tmp_path / "names.txt", "run\nsit\n")
    with pytest.raises(ManifestError, match=expected):
        collect(options(write(tmp_path / "list.txt", text), multi_label=True, class_names={"": names}))


def test_a_label_outside_of_the_class_names(tmp_path: Path) -> None:
    source, names = write(tmp_path / "list.txt", "a.mp4 0\nb.mp4 2\n"), write(tmp_path / "names.txt", "run\nsit\n")
    with pytest.raises(ManifestError, match=r"line 2: label 2 is no class; .*names\.txt has 2 classes, 0 to 1"):
        collect(options(source, class_names={"": names}))


def test_one_value_a_source_or_one_for_all(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"{name}.txt", f"{name}.mp4 0\n") for name in "abc"]
    assert {row.split for row in collect(options(*sources, splits=("test",))).rows} == {"test"}
    with pytest.raises(ConfigError, match="--split is given 2 times for 3 sources; once, or once each"):
        collect(options(*sources, splits=("test", "train")))


def test_no_such_list(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nix\.txt: can't be read"):
        collect(options(tmp_path / "nix.txt"))


def test_real_lists(shared: Path) -> None:
    lists = [shared / "ma52" / f"{split}_list_videos.txt" for split in ("train", "val")]
    listing = collect(options(*lists, class_names={"": shared / "ma52" / "label_name.txt"}))
    assert [row.split for row in listing.rows].count("train") == 11_250
    assert [row.split for row in listing.rows].count("valid") == 5_586
    assert len(listing.tasks["action"]) == 52
    assert listing.tasks["action"][9] == "nodding"
    first = listing.rows[0]
    assert (Path(first.path).name, first.labels) == ("0003_01_0001.mp4", {"action": 9})
