from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders import mvfoul_legacy
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.builders.mvfoul import ACTION_CLASSES, OFFENCE_SEVERITY_CLASSES, collect, labels_of


def action(
    action_class: str = "Tackling", offence: str = "Offence", severity: str = "1.0", *urls: str
) -> dict[str, Any]:
    return {
        "Action class": action_class,
        "Offence": offence,
        "Severity": severity,
        "Clips": [{"Url": url, "Camera type": "Main camera center", "Replay speed": 1.0} for url in urls],
    }


def write_split(folder: Path, *actions: dict[str, Any], set_name: str = "") -> Path:
    folder.mkdir(parents=True)
    annotations = {"Set": set_name, "Actions": {str(index): entry for index, entry in enumerate(actions)}}
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def options(*sources: Path, label_set: str | None = None) -> BuildOptions:
    return BuildOptions(sources=sources, label_set=label_set)


@pytest.mark.parametrize(
    ("action_class", "offence", "severity", "expected"),
    [
        # rule 1: no action class
        ("", "Offence", "1.0", None),
        ("Dont know", "Offence", "3.0", None),
        # rule 2: nobody is sure whether it is an offence, unless it is a dive
        ("Tackling", "", "1.0", None),
        ("Tackling", "Between", "3.0", None),
        ("Dive", "", "1.0", (7, 1)),
        ("Dive", "Between", "3.0", (7, 2)),
        # rule 3: nobody is sure of the severity, unless it is a dive or no offence
        ("Challenge", "Offence", "", None),
        ("Challenge", "Offence", "2.0", None),
        ("Challenge", "Offence", "4.0", None),
        ("Dive", "Offence", "4.0", (7, 1)),
        ("Challenge", "No offence", "", (6, 0)),
        ("Challenge", "No Offence", "2.0", (6, 0)),
        ("Holding", "No offence", "5.0", (3, 0)),
        # rule 4: what is kept
        ("Tackling", "Offence", "1.0", (0, 1)),
        ("Standing tackling", "Offence", "3.0", (1, 2)),
        ("High leg", "Offence", "5.0", (2, 3)),
        ("Pushing", "Offence", "1.0", (4, 1)),
        ("Elbowing", "Offence", "3.0", (5, 2)),
        ("Elbowing", "Offence", "6.0", None),
        ("Elbowing", "Perhaps", "3.0", None),
        ("Dive", "", "", (7, 1)),
    ],
)
def test_the_official_filter(action_class: str, offence: str, severity: str, expected: tuple[int, int] | None) -> None:
    labels = labels_of(action(action_class, offence, severity), "a.json: action 0")
    assert (labels["action"], labels["offence_severity"]) == (expected or (None, None))


def test_an_unknown_action_class() -> None:
    with pytest.raises(ManifestError, match=r"a\.json: action 0: action class 'Kicking'; known: Tackling, Standing"):
        labels_of(action("Kicking"), "a.json: action 0")


def test_no_keys_are_no_labels() -> None:
    assert labels_of({"Clips": []}, "a.json: action 0") == {"action": None, "offence_severity": None}


@pytest.mark.parametrize(
    "url",
    [
        "Dataset/Train/action_0/clip_1",
        "Dataset/action_0/clip_1",
        "Dataset\\Train\\action_0\\clip_1",
        "action_0/clip_1.mp4",
        "/mnt/mvfouls/train_720p/action_0/clip_1",
    ],
)
@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Train", "train"),
        ("train_720p", "train"),
        ("valid", "valid"),
        ("Valid", "valid"),
        ("test_720p", "test"),
        ("Test", "test"),
        ("Chall", "challenge"),
        ("chall", "challenge"),
        ("challenge_720p", "challenge"),
    ],
)
def test_spellings(tmp_path: Path, folder: str, split: str, url: str) -> None:
    path = write_split(tmp_path / "mvfouls" / folder, action("Tackling", "Offence", "1.0", url))
    listing = collect(options(path))
    (row,) = listing.rows
    assert row.path == str(path / "action_0" / "clip_1.mp4")
    assert (row.video_id, row.sample_id, row.view) == (f"{split}/action_0/clip_1", f"{split}/action_0", 1)
    assert (row.split, row.view_kind, row.replay_speed) == (split, "Main camera center", 1.0)
    assert listing.root == tmp_path / "mvfouls"
    assert listing.tasks == {"action": ACTION_CLASSES, "offence_severity": OFFENCE_SEVERITY_CLASSES}


def test_a_folder_of_split_folders(tmp_path: Path) -> None:
    for name, url in (("Test", "action_0/clip_0"), ("Train", "action_0/clip_0")):
        write_split(tmp_path / name, action("Dive", "Offence", "1.0", url))
    (tmp_path / "notes").mkdir()
    listing = collect(options(tmp_path))
    assert [row.video_id for row in listing.rows] == ["train/action_0/clip_0", "test/action_0/clip_0"]
    assert listing.root == tmp_path
    again = collect(options(tmp_path / "Test", tmp_path / "Train"))
    assert again == listing


def test_a_folder_of_another_name_asks_the_annotations(tmp_path: Path) -> None:
    path = write_split(tmp_path / "mine", action("Dive", "Offence", "1.0", "action_0/clip_0"), set_name="chall")
    assert [row.split for row in collect(options(path)).rows] == ["challenge"]
    path = write_split(tmp_path / "other", set_name="x")
    with pytest.raises(
        ManifestError, match=r"neither its name nor 'Set' .* tells the split; known: train, valid, test"
    ):
        collect(options(path))


def test_one_split_twice(tmp_path: Path) -> None:
    folders = [write_split(tmp_path / name) for name in ("Train", "train_720p")]
    with pytest.raises(ManifestError, match=r"Train and .*train_720p both hold split 'train'; name one of them"):
        collect(options(*folders))


def test_what_is_no_split_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no annotations\.json in it, nor in a folder below"):
        collect(options(tmp_path))
    with pytest.raises(ManifestError, match="no such folder"):
        collect(options(tmp_path / "nix"))
    path = write_split(tmp_path / "Train", action("Dive", "Offence", "1.0", "clip_0"))
    with pytest.raises(ManifestError, match=r"annotations\.json: action 0: clip Url 'clip_0' does not end in action_N"):
        collect(options(path))
    (path / "annotations.json").write_text("{")
    with pytest.raises(ManifestError, match=r"annotations\.json: not readable as JSON"):
        collect(options(path))
    (path / "annotations.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"annotations\.json: no object 'Actions' in it"):
        collect(options(path))


def test_the_real_test_set(shared: Path) -> None:
    listing = collect(options(shared / "mvfoul"))
    assert [(row.video_id, row.view) for row in listing.rows] == [
        (f"test/action_{index}/clip_{view}", view)
        for index, views in enumerate((3, 3, 3, 2, 4))
        for view in range(views)
    ]
    # Read off annotations.json: all five are offences; severity 3.0 is a yellow card, 5.0 a red one.
    expected = [("Standing tackling", 2), ("Tackling", 2), ("Holding", 2), ("High leg", 3), ("Tackling", 2)]
    for row in listing.rows:
        index = int(row.video_id.split("/")[1].removeprefix("action_")) if row.video_id else -1
        name, offence_severity = expected[index]
        assert row.labels == {"action": ACTION_CLASSES.index(name), "offence_severity": offence_severity}
    assert [row.replay_speed for row in listing.rows[:3]] == [1.0, 4.2, 3.6]
    assert listing.rows[4].view_kind == "Main behind the goal"


def test_the_filter_on_the_made_up_annotations(shared: Path) -> None:
    """The evaluator's annotations hold every odd spelling; count what is kept against a rule written another way."""
    path = shared / "mvfoul" / "evaluator" / "dev_full"
    actions = json.loads((path / "annotations.json").read_text())["Actions"]
    labelled = {row.sample_id for row in collect(options(path)).rows if row.labels["action"] is not None}
    kept = set()
    for key, entry in actions.items():
        sure_offence = entry["Offence"] in ("Offence", "No offence", "No Offence")
        sure_severity = entry["Severity"] in ("1.0", "3.0", "5.0") or entry["Offence"] in ("No offence", "No Offence")
        is_dive = entry["Action class"] == "Dive"
        if entry["Action class"] not in ("", "Dont know") and (is_dive or (sure_offence and sure_severity)):
            kept.add(f"test/action_{key}")
    assert labelled == kept
    assert 0 < len(kept) < len(actions)


@pytest.mark.parametrize(
    ("action_class", "offence", "severity", "expected"),
    [
        ("Tackling", "Offence", "1.0", ("Tackling", "1")),
        ("Standing tackling", "Between", "2.0", ("Standing tackling", "2")),
        ("Dont know", "", "4.0", ("Dont know", "4")),
        ("", "Offence", "5.0", ("Missing", "5")),
        ("Dive", "No offence", "", ("Dive", "Missing")),
        ("", "Between", "", ("Missing", "Missing")),
    ],
)
def test_legacy_labels(action_class: str, offence: str, severity: str, expected: tuple[str, str]) -> None:
    labels = mvfoul_legacy.labels_of(action(action_class, offence, severity), "a.json: action 0")
    names = [mvfoul_legacy.TASKS[task][labels[task] or 0] for task in ("action_class", "severity")]
    assert tuple(names) == expected
    assert None not in labels.values()


def test_legacy_orders() -> None:
    """Those of the MVFouls code, as its checkpoints have them."""
    assert {task: len(names) for task, names in mvfoul_legacy.TASKS.items()} == {"action_class": 10, "severity": 6}
    assert {name: mvfoul_legacy.ACTION_CLASSES.index(name) for name in ("Missing", "Elbowing", "High leg", "Dive")} == {
        "Missing": 0,
        "Elbowing": 5,
        "High leg": 6,
        "Dive": 9,
    }
    assert set(mvfoul_legacy.ACTION_CLASSES) == {*ACTION_CLASSES, "Missing", "Dont know"}


def test_legacy_without_annotations(tmp_path: Path) -> None:
    path = write_split(tmp_path / "Chall", action("", "", "", "action_0/clip_0"))
    (row,) = collect(options(path, label_set="legacy")).rows
    assert row.labels == {"action_class": None, "severity": None}


def test_label_sets_that_there_are(tmp_path: Path) -> None:
    path = write_split(tmp_path / "Train", action("Kicking", "Offence", "1.5"))
    with pytest.raises(ConfigError, match="--label-set is 'old'; allowed: official, legacy"):
        collect(options(path, label_set="old"))
    with pytest.raises(ManifestError, match="action 0: action class 'Kicking'; known: Missing, Standing tackling"):
        collect(options(path, label_set="legacy"))
    with pytest.raises(ManifestError, match=r"a: severity '1\.5'; known: Missing, 1, 2, 3, 4, 5"):
        mvfoul_legacy.labels_of(action("Dive", "Offence", "1.5"), "a")


def test_the_real_test_set_with_legacy_labels(shared: Path) -> None:
    listing = collect(options(shared / "mvfoul" / "test", label_set="legacy"))
    assert listing.tasks == {
        "action_class": mvfoul_legacy.ACTION_CLASSES,
        "severity": mvfoul_legacy.SEVERITY_CLASSES,
    }
    # Read off annotations.json, as in the test above.
    expected = [("Standing tackling", "3"), ("Tackling", "3"), ("Holding", "3"), ("High leg", "5"), ("Tackling", "3")]
    views = (3, 3, 3, 2, 4)
    assert [row.labels for row in listing.rows] == [
        {
            "action_class": mvfoul_legacy.ACTION_CLASSES.index(action_class),
            "severity": mvfoul_legacy.SEVERITY_CLASSES.index(severity),
        }
        for (action_class, severity), count in zip(expected, views, strict=True)
        for _ in range(count)
    ]
    assert [row.video_id for row in listing.rows] == [row.video_id for row in collect(options(shared / "mvfoul")).rows]
