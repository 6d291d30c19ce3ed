from __future__ import annotations

import pytest

from fouls.manifests.splits import canonical_split, split_in_file_name


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("Train", "train"),
        ("val", "valid"),
        (" VALIDATION", "valid"),
        ("validate", "valid"),
        ("Chall", "challenge"),
        ("fold-3", "fold-3"),
    ],
)
def test_canonical_split(text: str, split: str) -> None:
    assert canonical_split(text) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("kinetics400_train_list_videos.txt", "train"),
        ("kinetics400_val_list_videos.txt", "valid"),
        ("trainlist01.txt", "train"),
        ("TestList.csv", "test"),
        ("valid.txt", "valid"),
        ("latest.txt", None),
        ("train_and_test.txt", None),
        ("videos.txt", None),
    ],
)
def test_split_in_file_name(name: str, split: str | None) -> None:
    assert split_in_file_name(name) == split
