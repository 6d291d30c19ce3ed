from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fouls.errors import ManifestError
from fouls.manifests.table import read_manifest, tasks_of, write_manifest
from fouls.manifests.validation import validate
from tests.manifests.tables import CLASSES, make_table, with_column, with_metadata


def complaint(table: pa.Table) -> str:
    with pytest.raises(ManifestError) as error:
        validate(table, "m.parquet")
    message = str(error.value)
    assert message.startswith("m.parquet: ")
    assert "\n" not in message
    return message.removeprefix("m.parquet: ")


def reread(table: pa.Table, folder: Path) -> pa.Table:
    """A table that passes is written as it is."""
    write_manifest(table, folder / "m.parquet")
    return read_manifest(folder / "m.parquet")


def test_a_valid_table_passes(tmp_path: Path) -> None:
    assert reread(make_table(), tmp_path).equals(make_table())


def test_a_row_without_probe_passes_when_it_says_why(tmp_path: Path) -> None:
    none = [None, 10, 10]
    table = make_table(num_frames=none, fps=[None, 25.0, 25.0], probe_error=["no such file", None, None])
    assert reread(table, tmp_path).equals(table)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("view", [0, -1, 0], "row 1 (video_id 'b'), column 'view': -1 is negative"),
        ("video_id", ["a", "b", None], "row 2 (video_id None), column 'video_id': None is not allowed"),
        ("sample_id", ["a", "", "c"], "row 1 (video_id 'b'), column 'sample_id': '' is empty"),
        ("split", ["train", None, "train"], "row 1 (video_id 'b'), column 'split': None is not allowed"),
        ("start_frame", [None, -3, None], "row 1 (video_id 'b'), column 'start_frame': -3 is negative"),
        ("fps", [25.0, 25.0, -1.0], "row 2 (video_id 'c'), column 'fps': -1.0 is negative"),
        (
            "num_frames",
            [10, None, 10],
            "row 1 (video_id 'b'), column 'num_frames': None where no probe_error says why it is unknown",
        ),
        (
            "label.action",
            [0, 1, 3],
            "row 2 (video_id 'c'), column 'label.action': 3 is outside of the 3 classes of task 'action'",
        ),
        (
            "label.action",
            [0, -1, None],
            "row 1 (video_id 'b'), column 'label.action': -1 is outside of the 3 classes of task 'action'",
        ),
        (
            "stop_frame",
            [None, None, 11],
            "row 2 (video_id 'c'), column 'stop_frame': 11 is greater than num_frames",
        ),
        (
            "start_frame",
            [None, None, 10],
            "row 2 (video_id 'c'), column 'start_frame': 10 is not below num_frames",
        ),
        (
            "stop_frame",
            [0, None, None],
            "row 0 (video_id 'a'), column 'start_frame': None is not below stop_frame: a segment is "
            "[start_frame, stop_frame)",
        ),
        ("video_id", ["a", "b", "a"], "row 2, column 'video_id': 'a' is in row 0 too"),
    ],
)
def test_complaints_name_row_column_and_value(column: str, values: list[object], expected: str) -> None:
    assert complaint(with_column(make_table(), column, values)) == expected


def test_segment_bounds_must_be_in_order() -> None:
    table = make_table(start_frame=[0, 5, None], stop_frame=[10, 5, None])
    assert complaint(table).startswith("row 1 (video_id 'b'), column 'start_frame': 5 is not below stop_frame")


def test_columns() -> None:
    table = make_table()
    assert complaint(table.drop_columns(["fps"])) == "column 'fps' is missing"
    extra = with_column(table, "colour", pa.array([1, 2, 3]))
    assert complaint(extra).startswith("unknown column 'colour'; known: video_id, sample_id, view")
    wrong = with_column(table, "view", pa.array([0, 0, 0], pa.int64()))
    assert complaint(wrong) == "column 'view' is int64; it must be int16"
    assert complaint(with_column(table, "label.other", [0, 0, 0])).startswith("unknown column 'label.other'")
    assert complaint(table.drop_columns(["label.action"])).startswith("task 'action' has class names, but no column")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"manifest_version": "2"}, "manifest version 2, this fouls reads up to 1; install a newer fouls"),
        (
            {"manifest_version": None},
            "not a manifest (its metadata has no fouls.manifest_version); `fouls manifest build` makes one",
        ),
        ({"tasks": "{"}, "metadata fouls.tasks is not JSON"),
        ({"tasks": '["action"]'}, "metadata fouls.tasks is ['action'], not {task: [class names]}"),
        ({"tasks": '{"action": ["run", "sit", "run"]}'}, "task 'action': class 'run' is named twice"),
        ({"tasks": '{"action": [1]}'}, "task 'action': class names are [1], not a list of names"),
        ({"root": "data"}, "metadata fouls.root is 'data'; it must be an absolute folder"),
        (
            {"root": None},
            "row 0 (video_id 'a'), column 'path': 'a.mp4' is relative, but the metadata has no fouls.root",
        ),
    ],
)
def test_metadata(metadata: dict[str, str | None], expected: str) -> None:
    assert complaint(with_metadata(make_table(), **metadata)).startswith(expected)


def test_task_names_are_plain() -> None:
    with pytest.raises(ManifestError, match="task name 'a b': allowed are letters, digits"):
        make_table(task="a b")


def test_views_of_a_sample_agree() -> None:
    same = {"sample_id": ["s", "t", "s"], "view": [0, 0, 1]}
    validate(make_table(**same, labels=[1, 0, None]))
    assert complaint(make_table(**same, labels=[1, 0, 2])) == (
        "row 2, column 'label.action': 2 for video 'c', but 1 for 'a' (row 0): both are views of the sample 's'"
    )
    assert complaint(make_table(**same, labels=[1, 0, 1], split=["train", "train", "test"])).startswith(
        "row 2, column 'split': 'test' for video 'c', but 'train' for 'a'"
    )


def test_frame_labels() -> None:
    table = make_table()
    validate(with_column(table, "frame_label.action", [[0, -1, 2], None, []]))
    assert complaint(with_column(table, "frame_label.action", [None, [0] * 11, None])) == (
        "row 1 (video_id 'b'), column 'frame_label.action': 11 labels for 10 frames"
    )
    for wrong in (3, -2, None):
        assert complaint(with_column(table, "frame_label.action", [[0], None, [0, wrong]])) == (
            f"row 2 (video_id 'c'), column 'frame_label.action': {wrong!r} is neither -1 nor one of the 3 classes of "
            "task 'action'"
        )


def test_frame_labels_alone_make_a_task(tmp_path: Path) -> None:
    table = with_column(make_table().drop_columns(["label.action"]), "frame_label.action", [[0], None, [1]])
    assert tasks_of(reread(table, tmp_path)) == {"action": list(CLASSES)}


def test_a_video_that_could_not_be_probed_may_have_any_number_of_frame_labels() -> None:
    unknown = {"num_frames": [10, None, 10], "fps": [25.0, None, 25.0], "probe_error": [None, "no such file", None]}
    validate(with_column(make_table(**unknown), "frame_label.action", [[0], [1] * 999, None]))
    cut = {"probe_error": [None, "too_short: segment beyond the end", None]}
    validate(with_column(make_table(**cut), "frame_label.action", [[0], [1] * 999, None]))


def test_multi_labels(tmp_path: Path) -> None:
    table = make_table().drop_columns(["label.action"])
    valid = with_column(table, "multi_label.action", [[0, 2], [], None])
    assert reread(valid, tmp_path).equals(valid)
    for labels, expected in (
        ([0, 3], "3 is none of the 3 classes of task 'action'"),
        ([-1], "-1 is none of the 3 classes of task 'action'"),
        ([None], "None is none of the 3 classes of task 'action'"),
        ([2, 0], "[2, 0] is not ascending, each class once"),
        ([1, 1], "[1, 1] is not ascending, each class once"),
    ):
        wrong = with_column(table, "multi_label.action", [[2], labels, [0]])
        assert complaint(wrong) == f"row 1 (video_id 'b'), column 'multi_label.action': {expected}"


def test_one_label_or_many() -> None:
    assert complaint(with_column(make_table(), "multi_label.action", [[0], [1], None])) == (
        "task 'action' has columns 'label.action' and 'multi_label.action'; a video has one label or any number of them"
    )


def test_views_of_a_sample_agree_in_all_their_labels() -> None:
    table = make_table(sample_id=["s", "t", "s"], view=[0, 0, 1]).drop_columns(["label.action"])
    validate(with_column(table, "multi_label.action", [[0, 1], [2], [0, 1]]))
    validate(with_column(table, "multi_label.action", [[0, 1], [2], None]))
    assert complaint(with_column(table, "multi_label.action", [[0, 1], [0], [0]])) == (
        "row 2, column 'multi_label.action': [0] for video 'c', but [0, 1] for 'a' (row 0): both are views of the "
        "sample 's'"
    )
