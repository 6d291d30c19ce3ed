from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.kinetics import collect
from fouls.manifests.builders.listing import BuildOptions

HEADER = "label,youtube_id,time_start,time_end,split\n"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **others)  # type: ignore[arg-type]


def found(folder: Path, *sources: Path, **others: object) -> dict[str | None, str]:
    """``video_id`` → path below the folder."""
    return {row.video_id: str(Path(row.path).relative_to(folder)) for row in collect(options(*sources, **others)).rows}


def test_three_tables_together(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", HEADER + "tap dancing,aaa,5,15,train\nair drumming,-b_,100,110,train\n")
    val = write(tmp_path / "validate.csv", HEADER + "air drumming,ccc,0,10,validate\n")
    test = write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\nddd,7,17,test\n")
    listing = collect(options(train, val, test))
    assert listing.tasks == {"action": ("air drumming", "tap dancing")}
    assert [(row.video_id, row.split, row.labels["action"]) for row in listing.rows] == [
        ("aaa_000005_000015", "train", 1),
        ("-b__000100_000110", "train", 0),
        ("ccc_000000_000010", "valid", 0),
        ("ddd_000007_000017", "test", None),
    ]
    assert listing.name == tmp_path.name
    assert listing.notes == ()


def test_where_the_files_are(tmp_path: Path) -> None:
    table = write(
        tmp_path / "train.csv",
        HEADER + "air drumming,in-class,0,10,train\nair drumming,underscore,0,10,train\nair drumming,flat,0,10,train\n"
        "air drumming,only-id,0,10,train\nair drumming,missing,0,10,train\nzumba,both,0,10,val\n",
    )
    clips = tmp_path / "my clips"
    for path in (
        "air drumming/in-class_000000_000010.mp4",
        "air_drumming/underscore_000000_000010.webm",
        "flat_000000_000010.mp4",
        "flat_000099_000109.mp4",  # another clip
        "air drumming/only-id.mp4",
        "videos_train/zumba/both_000000_000010.mp4",
        "videos_val/zumba/both_000000_000010.mp4",
    ):
        write(clips / path)
    assert found(clips, table, roots=(clips,)) == {
        "in-class_000000_000010": "air drumming/in-class_000000_000010.mp4",
        "underscore_000000_000010": "air_drumming/underscore_000000_000010.webm",
        "flat_000000_000010": "flat_000000_000010.mp4",
        "only-id_000000_000010": "air drumming/only-id.mp4",
        "missing_000000_000010": "air drumming/missing_000000_000010.mp4",
        "both_000000_000010": "videos_val/zumba/both_000000_000010.mp4",
    }


def test_a_file_named_by_its_id_alone_is_nobodys_where_the_id_has_two_clips(tmp_path: Path) -> None:
    table = write(tmp_path / "train.csv", HEADER + "zumba,aaa,0,10,train\nzumba,aaa,20,30,train\n")
    write(tmp_path / "aaa.mp4")
    assert found(tmp_path, table) == {
        "aaa_000000_000010": "zumba/aaa_000000_000010.mp4",
        "aaa_000020_000030": "zumba/aaa_000020_000030.mp4",
    }


def test_two_files_for_one_clip(tmp_path: Path) -> None:
    table = write(tmp_path / "train.csv", HEADER + "zumba,aaa,0,10,train\n")
    for name in ("x", "y"):
        write(tmp_path / name / "aaa_000000_000010.mp4")
    with pytest.raises(ManifestError, match=r"train\.csv: line 2: two files for this clip, .*/x/aaa_.* and .*/y/aaa_"):
        collect(options(table))


def test_splits_where_the_table_has_none(tmp_path: Path) -> None:
    table = write(tmp_path / "kinetics_val.csv", "label,youtube_id,time_start,time_end\nzumba,aaa,0.0,10.0\n")
    (row,) = collect(options(table)).rows
    assert (row.video_id, row.split) == ("aaa_000000_000010", "valid")
    assert [row.split for row in collect(options(table, splits=("mine",))).rows] == ["mine"]
    official = write(tmp_path / "official.csv", HEADER + "zumba,aaa,0,10,val\n")
    with pytest.raises(ConfigError, match=r"--split is given, but .*official\.csv has a column 'split'"):
        collect(options(official, splits=("test",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label,id\nzumba,aaa\n", r"no column 'youtube_id' \(columns: label, id\)"),
        (HEADER, "a header and no line below it"),
        (HEADER + "zumba,aaa,x,10,train\n", r"line 2, column 'time_start': 'x' is not a number of seconds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(options(write(tmp_path / "train.csv", text)))


def test_class_names_are_checked(tmp_path: Path) -> None:
    table = write(tmp_path / "val.csv", HEADER + "zumba,aaa,0,10,val\n")
    names = write(tmp_path / "names.txt", "abseiling\nzumba\n")
    listing = collect(options(table, class_names={"": names}, task="sport"))
    assert listing.tasks == {"sport": ("abseiling", "zumba")}
    assert listing.rows[0].labels == {"sport": 1}
    wrong = write(tmp_path / "wrong.txt", "abseiling\n")
    with pytest.raises(ManifestError, match=r"line 2: label 'zumba' is none of the 1 classes of .*wrong\.txt"):
        collect(options(table, class_names={"": wrong}))


def test_lists_and_their_folders(tmp_path: Path) -> None:
    train = write(tmp_path / "kinetics400_train_list_videos.txt", "abseiling/a b.mp4 1\nx.mp4 -1\ny.mp4\n")
    val = write(tmp_path / "kinetics400_val_list_videos.txt", "videos_val/z.mp4 0\n")
    for name in ("videos_train", "videos_val"):
        (tmp_path / name).mkdir()
    listing = collect(options(train, val))
    assert [(str(Path(row.path).relative_to(tmp_path)), row.split, row.labels["action"]) for row in listing.rows] == [
        ("videos_train/abseiling/a b.mp4", "train", 1),
        ("videos_train/x.mp4", "train", None),
        ("videos_train/y.mp4", "train", None),
        ("videos_val/z.mp4", "valid", 0),
    ]
    assert listing.root == tmp_path
    assert listing.notes[-1] == (
        "kinetics400_train_list_videos.txt: its paths are taken to lie in videos_train; --root sets another folder"
    )
    given = collect(options(train, val, roots=(tmp_path,)))
    assert given.rows[0].path == str(tmp_path / "abseiling" / "a b.mp4")


def test_tables_and_lists_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tables \(\.csv\) and lists are read apart"):
        collect(options(tmp_path / "train.csv", tmp_path / "val.txt"))


@pytest.mark.parametrize("edition", ["k400", "k600"])
def test_the_real_class_names(shared: Path, tmp_path: Path, edition: str) -> None:
    """A table that has a clip of every class gives the published order of the classes, without a file of names."""
    names = [name for name in (shared / "labels" / f"label_map_{edition}.txt").read_text().split("\n") if name]
    path = tmp_path / "train.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.strip().split(","))
        writer.writerows([name, f"id{index}", 0, 10, "train"] for index, name in reversed(list(enumerate(names))))
    listing = collect(options(path))
    assert list(listing.tasks["action"]) == names
    assert [row.labels["action"] for row in listing.rows] == list(range(len(names)))[::-1]
    given = {"": shared / "labels" / f"label_map_{edition}.txt"}
    assert collect(options(path, class_names=given)) == listing
