from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.csv_file import collect
from fouls.manifests.builders.listing import BuildOptions


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **others)  # type: ignore[arg-type]


def test_every_column(tmp_path: Path) -> None:
    source = write(
        tmp_path / "data.csv",
        "path,video_id,sample_id,view,view_kind,replay_speed,split,start_frame,stop_frame,label.action,label.motion\n"
        '"clips/a, left.mp4",a1,a,1,left,2.5,Val,10,20,sit,1\n'
        "/abs/b.mp4,,,,,,,,,run,-1\n",
    )
    listing = collect(options(source))
    first, second = listing.rows
    assert (first.path, second.path) == (str(tmp_path / "clips" / "a, left.mp4"), "/abs/b.mp4")
    assert (first.video_id, first.sample_id, first.view, first.view_kind) == ("a1", "a", 1, "left")
    assert (first.replay_speed, first.split, first.start_frame, first.stop_frame) == (2.5, "valid", 10, 20)
    assert (second.video_id, second.sample_id, second.view, second.view_kind) == (None, None, 0, None)
    assert (second.replay_speed, second.split, second.start_frame, second.stop_frame) == (None, "", None, None)
    assert listing.tasks == {"action": ("run", "sit"), "motion": ("0", "1")}
    assert [row.labels for row in listing.rows] == [{"action": 1, "motion": 1}, {"action": 0, "motion": None}]
    assert (listing.root, listing.name, listing.notes) == (tmp_path, "data", ())


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_separators(tmp_path: Path, separator: str) -> None:
    text = "\ufeffpath|label.action\r\na.mp4|run\r\n\r\nb.mp4|\r\n".replace("|", separator)
    listing = collect(options(write(tmp_path / "data.tsv", text)))
    assert [row.labels for row in listing.rows] == [{"action": 0}, {"action": None}]


def test_a_plain_column_as_task_and_what_is_left_out(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", "path,sport,youtube_id\na.mp4,golf,x\nb.mp4,chess,y\n")
    listing = collect(options(source, task="sport"))
    assert listing.tasks == {"sport": ("chess", "golf")}
    assert [row.labels["sport"] for row in listing.rows] == [1, 0]
    assert listing.notes == ("columns left out, no columns of a manifest: youtube_id",)


def test_any_number_of_labels(tmp_path: Path) -> None:
    source = write(
        tmp_path / "data.csv",
        "path,label.action,multi_label.attributes,multi_label.parts\n"
        "a.mp4,run,left foot|header,2|0\nb.mp4,sit,,-1\nc.mp4,run,header,1\n",
    )
    listing = collect(options(source))
    assert listing.tasks == {"action": ("run", "sit"), "attributes": ("header", "left foot"), "parts": ("0", "1", "2")}
    assert [row.labels for row in listing.rows] == [
        {"action": 0, "attributes": (0, 1), "parts": (0, 2)},
        {"action": 1, "attributes": None, "parts": None},
        {"action": 0, "attributes": (0,), "parts": (1,)},
    ]
    assert [listing.kind_of(task) for task in listing.tasks] == ["label", "multi_label", "multi_label"]


def test_class_names_a_task(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", "path,label.a,label.b\nx.mp4,1,up\n")
    names = write(tmp_path / "names.txt", "run\nsit\n")
    listing = collect(options(source, class_names={"a": names}))
    assert listing.tasks == {"a": ("run", "sit"), "b": ("up",)}
    assert listing.rows[0].labels == {"a": 1, "b": 0}
    with pytest.raises(ConfigError, match="--class-names FILE needs one task; there is: a, b"):
        collect(options(source, class_names={"": names}))
    with pytest.raises(ConfigError, match="--class-names c=…: no such task; there is: a, b"):
        collect(options(source, class_names={"c": names}))


def test_views_without_numbers_count_in_the_order_of_the_lines(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", "path,sample_id\na.mp4,s\nb.mp4,t\nc.mp4,s\nd.mp4,\n")
    rows = collect(options(source)).rows
    assert [(row.sample_id, row.view) for row in rows] == [("s", 0), ("t", 0), ("s", 1), (None, 0)]


def test_splits_and_roots_a_source(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"{name}.csv", f"path\n{name}.mp4\n") for name in "ab"]
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    listing = collect(options(*sources, splits=("train", "val"), roots=(tmp_path / "x", tmp_path / "y")))
    assert [(row.path, row.split) for row in listing.rows] == [
        (str(tmp_path / "x" / "a.mp4"), "train"),
        (str(tmp_path / "y" / "b.mp4"), "valid"),
    ]
    assert listing.root == tmp_path


def test_a_url_with_what_is_known_of_it(tmp_path: Path) -> None:
    source = write(
        tmp_path / "data.csv",
        "path,num_frames,fps,width,height,content_hash\nhttps://host/a.mp4,50,25,64,48,abc\ns3://bucket/b.mp4,,,,,\n",
    )
    first, second = collect(options(source)).rows
    assert first.path == "https://host/a.mp4"
    assert first.known is not None
    assert first.known.info is not None
    assert (first.known.info.num_frames, first.known.info.duration_seconds) == (50, 2.0)
    assert first.known.content_hash == "abc"
    assert second.known is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,label\na.mp4,1\n", r"data\.csv: no column 'path' \(columns: file, label\)"),
        ("path,view\na.mp4,x\n", r"data\.csv: line 2, column 'view': 'x' is not an integer"),
        ("path,replay_speed\na.mp4,1\nb.mp4,fast\n", r"line 3, column 'replay_speed': 'fast' is not a number"),
        ("path,view\na.mp4,-1\n", "line 2: view is -1; allowed: 0 to 32767"),
        ("path,start_frame,stop_frame\na.mp4,5,5\n", r"line 2: the segment \[5, 5\) is empty"),
        ("path,start_frame\na.mp4,-5\n", "line 2: start_frame is -5; it must not be negative"),
        ("path,split\na.mp4\n", "line 2: 1 fields, but the header has 2"),
        ("path,split\n,train\n", "line 2, column 'path': empty"),
        ("path,split,split\na.mp4,a,b\n", "column 'split' is there 2 times"),
        ("path,spilt\na.mp4,train\n", r"column 'spilt': did you mean 'split'\?"),
        ("path,lable.action\na.mp4,run\n", r"column 'lable\.action': did you mean 'label\.action'\?"),
        ("path,frame_label.action\na.mp4,0\n", "a table with one line a video can't hold lists by frame"),
        ("path,frame_keypoints\na.mp4,0\n", "column 'frame_keypoints': a table with one line a video can't hold lists"),
        ("path,multi_label.a,label.a\na.mp4,0,0\n", "columns 'label.a' and 'multi_label.a'; a task has one of them"),
        ("path,multi_lable.a\na.mp4,0\n", r"column 'multi_lable\.a': did you mean 'multi_label\.a'\?"),
        ("path,multi_label.a\na.mp4,1|-1\n", r"line 2, column 'multi_label\.a': labels 1, -1: '' and -1 stand alone"),
        ("path,label.action\na.mp4,-3\n", r"line 2, column 'label\.action': label -3 is no class"),
        ("path\n", "a header and no line below it"),
        ("", "an empty file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(options(write(tmp_path / "data.csv", text)))


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", "path,split\na.mp4,train\n")
    with pytest.raises(ConfigError, match=r"--split is given, but .*data\.csv has a column 'split'"):
        collect(options(source, splits=("test",)))
    with pytest.raises(ManifestError, match=r"--task sport: no such column \(columns: path, split\)"):
        collect(options(source, task="sport"))
    with pytest.raises(ConfigError, match="--task split is a column of its own meaning"):
        collect(options(source, task="split"))
    with pytest.raises(ConfigError, match="--class-names: no label column"):
        collect(options(source, class_names={"": source}))
