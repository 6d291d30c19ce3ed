from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fouls.errors import ManifestError
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.builders.osl import collect
from fouls.manifests.probing import ProbingOptions
from fouls.manifests.table import kind_of, read_manifest, tasks_of
from tests.media import frame_numbered_video

HEADS = {
    "action": {"type": "single_label", "labels": ["pass", "shot", "foul"]},
    "attributes": {"type": "multi_label", "labels": ["left_foot", "header", "set_piece"]},
}


def sample(sample_id: str | None, *paths: str, **others: Any) -> dict[str, Any]:
    inputs: list[dict[str, Any]] = [{"type": "video", "path": path, "fps": 25.0} for path in paths]
    return {"id": sample_id, "inputs": inputs, **others}


def write(path: Path, *samples: object, labels: object = HEADS, **others: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "2.0", "modalities": ["video"], "labels": labels, "data": list(samples), **others}
    path.write_text(json.dumps(content))
    return path


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **others)  # type: ignore[arg-type]


def test_samples_views_and_heads(tmp_path: Path) -> None:
    source = write(
        tmp_path / "train" / "annotations_train.json",
        sample("foul_1", "wide/1.mp4", "close/1.mp4", labels={"action": {"label": "foul", "confidence": 0.9}}),
        sample(
            "foul_2", "2.mp4", labels={"action": {"label": "pass"}, "attributes": {"labels": ["set_piece", "header"]}}
        ),
        sample("foul_3", "/abs/3.mp4", labels={"attributes": {"labels": []}}),
        sample("foul_4", "https://host/4.mp4", captions=[{"text": "A pass."}], events=[]),
    )
    listing = collect(options(source))
    folder = tmp_path / "train"
    assert [(row.video_id, row.sample_id, row.view, row.path) for row in listing.rows] == [
        ("train/foul_1/view_0", "train/foul_1", 0, str(folder / "wide" / "1.mp4")),
        ("train/foul_1/view_1", "train/foul_1", 1, str(folder / "close" / "1.mp4")),
        ("train/foul_2/view_0", "train/foul_2", 0, str(folder / "2.mp4")),
        ("train/foul_3/view_0", "train/foul_3", 0, "/abs/3.mp4"),
        ("train/foul_4/view_0", "train/foul_4", 0, "https://host/4.mp4"),
    ]
    assert [row.labels for row in listing.rows] == [
        {"action": 2, "attributes": None},
        {"action": 2, "attributes": None},
        {"action": 0, "attributes": (1, 2)},
        {"action": None, "attributes": ()},
        {"action": None, "attributes": None},
    ]
    assert listing.tasks == {"action": ("pass", "shot", "foul"), "attributes": ("left_foot", "header", "set_piece")}
    assert (listing.kind_of("action"), listing.kind_of("attributes")) == ("label", "multi_label")
    assert (listing.root, listing.name) == (folder, "annotations_train")


def test_ids_that_are_views_of_one_sample(tmp_path: Path) -> None:
    source = write(
        tmp_path / "valid.json",
        sample("play_7_view1", "a.mp4", labels={"action": {"label": "shot"}}),
        sample("play_8", "c.mp4"),
        sample("play_7_view2", "b.mp4", labels={"action": {"label": "shot"}}),
    )
    assert [(row.sample_id, row.view) for row in collect(options(source)).rows] == [
        ("valid/play_7", 0),
        ("valid/play_8", 0),
        ("valid/play_7", 1),
    ]


def test_splits(tmp_path: Path) -> None:
    def split_of(path: Path, **others: Any) -> tuple[str, str]:
        listing = collect(options(write(path, sample("a", "a.mp4"), **others)))
        return listing.rows[0].split, " ".join(listing.notes)

    assert split_of(tmp_path / "train.json", metadata={"split": "val"}) == ("valid", "")
    assert split_of(tmp_path / "annotations_test.json") == (
        "test",
        "annotations_test.json: split 'test', read from its name or folder; --split NAME sets another",
    )
    assert split_of(tmp_path / "Valid" / "annotations.json")[0] == "valid"
    split, note = split_of(tmp_path / "annotations.json")
    assert (split, note) == (
        "",
        "annotations.json: no split in its metadata or name, so its rows have none; --split NAME sets it",
    )
    assert [row.sample_id for row in collect(options(tmp_path / "annotations.json")).rows] == ["a"]
    assert [row.split for row in collect(options(tmp_path / "train.json", splits=("mine",))).rows] == ["mine"]


def test_several_files_share_their_heads(tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", sample("a", "train/a.mp4", labels={"action": {"label": "pass"}}))
    test = write(tmp_path / "test.json", sample("a", "test/a.mp4"), labels={})
    listing = collect(options(train, test, roots=(tmp_path,)))
    assert [(row.video_id, row.labels.get("action")) for row in listing.rows] == [
        ("train/a/view_0", 0),
        ("test/a/view_0", None),
    ]
    assert listing.tasks["action"] == ("pass", "shot", "foul")
    other = {"action": {"type": "single_label", "labels": ["shot", "pass"]}}
    valid = write(tmp_path / "valid.json", sample("b", "b.mp4"), labels=other)
    with pytest.raises(
        ManifestError, match=r"head 'action' has other classes, .* in .*train\.json than in .*valid\.json"
    ):
        collect(options(train, valid))


def test_inputs_that_are_no_videos(tmp_path: Path) -> None:
    tracking = {"type": "tracking_parquet", "path": "a.parquet"}
    both = sample("a", "a.mp4")
    both["inputs"].insert(0, tracking)
    source = write(tmp_path / "train.json", both, {"id": "b", "inputs": [tracking]})
    listing = collect(options(source))
    assert [(row.video_id, row.view) for row in listing.rows] == [("train/a/view_0", 0)]
    assert listing.notes[-1] == "train.json: 1 of 2 samples are left out: no input of type 'video'"
    write(source, {"id": "b", "inputs": [tracking]})
    with pytest.raises(ManifestError, match=r"train\.json: no sample has an input of type 'video'"):
        collect(options(source))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            sample("a", "a.mp4", events=[{"head": "action", "label": "pass", "position_ms": 1240}]),
            "sample 'a' has events: spotting is not supported, only samples with labels are",
        ),
        (sample(None, "a.mp4"), r"data\[0\] has no 'id'"),
        (sample("a", ""), "sample 'a': an input of type 'video' has no 'path'"),
        (
            sample("a", "a.mp4", labels={"action": {"label": "goal"}}),
            "sample 'a': label 'goal' is none of the 3 classes of head 'action'",
        ),
        (
            sample("a", "a.mp4", labels={"foul_type": {"label": "dive"}}),
            "labels of head 'foul_type', which the file's 'labels' does not have",
        ),
        (sample("a", "a.mp4", labels={"action": {"label": ["pass"]}}), r"not \{'label': class\}"),
        (sample("a", "a.mp4", labels={"attributes": {"labels": "header"}}), r"not \{'labels': \[class, …\]\}"),
        (sample("a", "a.mp4", labels=["pass"]), "'labels' is .*, not labels by head"),
    ],
)
def test_samples_that_are_wrong(tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(options(write(tmp_path / "train.json", entry)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not readable as JSON"),
        ('{"Actions": {}}', "no list 'data' in it; is this OpenSportsLib's JSON"),
        ('{"data": [], "labels": ["pass"]}', "'labels' is .*, not the classes of each head"),
        ('{"data": [], "labels": {"action": ["pass"]}}', "head 'action' is .*; it needs a type, single_label or multi"),
        ('{"data": []}', "no sample has an input of type 'video'"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(ManifestError, match=expected):
        collect(options(tmp_path / "train.json"))


def test_to_the_manifest(tmp_path: Path) -> None:
    for name in ("wide", "close"):
        frame_numbered_video(tmp_path / name / "1.mp4", 5)
    labels = {"action": {"label": "shot"}, "attributes": {"labels": ["header"]}}
    source = write(tmp_path / "train.json", sample("play_1", "wide/1.mp4", "close/1.mp4", labels=labels))
    report = build_manifest(list_videos("osl", options(source)), tmp_path / "m.parquet", ProbingOptions(workers=1))
    table = read_manifest(tmp_path / "m.parquet")
    assert report.failures == ()
    assert table["sample_id"].to_pylist() == ["train/play_1"] * 2
    assert table["label.action"].to_pylist() == [1, 1]
    assert table["multi_label.attributes"].to_pylist() == [[1], [1]]
    assert {task: kind_of(table, task) for task in tasks_of(table)} == {"action": "label", "attributes": "multi_label"}
