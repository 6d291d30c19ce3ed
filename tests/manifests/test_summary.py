from __future__ import annotations

import numpy as np

from fouls.manifests.summary import summarise
from tests.manifests.tables import make_table, with_column, with_keypoints


def test_a_sample_counts_once() -> None:
    table = make_table(
        ["a", "b", "c", "d", "e"],
        sample_id=["s", "s", "t", "u", "v"],
        view=[0, 1, 0, 0, 0],
        split=["valid", "valid", "train", "train", "holdout"],
        labels=[1, 1, 0, None, 2],
        num_frames=[10, 10, 10, None, 10],
        fps=[25.0, 25.0, 25.0, None, 25.0],
        duration_seconds=[0.4, 0.4, 0.4, None, 0.4],
        probe_error=[None, None, None, "unreadable: no such file", None],
    )
    summary = summarise(table)
    assert list(summary.splits) == ["train", "valid", "holdout"]
    train, valid = summary.splits["train"], summary.splits["valid"]
    assert (train.num_samples, train.num_videos, train.num_failed) == (2, 2, 1)
    assert (valid.num_samples, valid.num_videos, valid.num_failed) == (1, 2, 0)
    assert train.duration_seconds == 0.4
    assert valid.duration_seconds == 0.8
    assert (train.num_labelled, valid.num_labelled) == ({"action": 1}, {"action": 1})
    assert summary.classes == {
        "action": {
            "run": {"train": 1, "valid": 0, "holdout": 0},
            "jump": {"train": 0, "valid": 1, "holdout": 0},
            "sit": {"train": 0, "valid": 0, "holdout": 1},
        }
    }
    assert summary.failures == (("d", "d.mp4", "unreadable: no such file"),)


def test_frame_labels_are_counted_by_frame() -> None:
    table = make_table().drop_columns(["label.action"])
    summary = summarise(with_column(table, "frame_label.action", [[0, 0, -1, 2], None, [2]]))
    assert summary.kinds == {"action": "frame_label"}
    assert summary.classes == {"action": {"run": {"train": 2}, "jump": {"train": 0}, "sit": {"train": 2}}}
    assert summary.splits["train"].num_labelled == {"action": 2}
    assert summary.failures == ()


def test_any_number_of_labels_counts_each_sample_in_each_class_once() -> None:
    table = make_table(["a", "b", "c", "d"], sample_id=["s", "s", "t", "u"], view=[0, 1, 0, 0])
    table = table.drop_columns(["label.action"])
    summary = summarise(with_column(table, "multi_label.action", [[0, 2], [0, 2], [2], None]))
    assert summary.kinds == {"action": "multi_label"}
    assert summary.classes == {"action": {"run": {"train": 1}, "jump": {"train": 0}, "sit": {"train": 2}}}
    assert summary.splits["train"].num_labelled == {"action": 2}
    nothing = summarise(with_column(table, "multi_label.action", [[], [], [], None]))
    assert nothing.splits["train"].num_labelled == {"action": 2}


def test_videos_with_keypoints_are_counted() -> None:
    table = make_table(split=["train", "train", "test"])
    assert summarise(table).keypoints == ()
    pose = np.full((10, 1, 3), 0.5, dtype=np.float32)
    summary = summarise(with_keypoints(table, ["nose"], [pose, None, pose]))
    assert summary.keypoints == ("nose",)
    assert {name: split.num_with_keypoints for name, split in summary.splits.items()} == {"train": 1, "test": 1}
