from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fouls.errors import ManifestError
from fouls.manifests.keypoints import Keypoints
from fouls.manifests.table import fingerprint_of, keypoints_of, read_manifest, validate, write_manifest
from tests.manifests.tables import make_table, with_column, with_keypoints, with_metadata

NAMES = ("nose", "tail")


def frames(count: int, seed: int = 0) -> Keypoints:
    """(count, 2, 3) of plausible values, the tail missing in the last frame."""
    values = np.random.default_rng(seed).random((count, 2, 3), dtype=np.float32)
    values[-1, 1] = (np.nan, np.nan, 0)
    return values


def posed(*videos: Keypoints | None) -> pa.Table:
    return with_keypoints(make_table(), NAMES, videos)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    first, third = frames(10), frames(4, seed=1)
    write_manifest(posed(first, None, third), tmp_path / "m.parquet")
    table = read_manifest(tmp_path / "m.parquet")
    assert keypoints_of(table) == NAMES
    lists = table["frame_keypoints"].to_pylist()
    assert lists[1] is None
    for values, expected in ((lists[0], first), (lists[2], third)):
        np.testing.assert_array_equal(np.array(values, dtype=np.float32), expected.reshape(-1, 6))
    assert keypoints_of(make_table()) == ()


def test_the_fingerprint_knows_names_and_values() -> None:
    table = posed(frames(10), None, frames(4))
    fingerprint = fingerprint_of(table)
    assert fingerprint_of(pa.concat_tables([table.slice(0, 1), table.slice(1)])) == fingerprint
    other = frames(10)
    other[3, 0, 0] += np.float32(1e-6)
    changes = [
        make_table(),
        posed(other, None, frames(4)),
        posed(frames(10), frames(4), None),
        posed(None, frames(10), frames(4)),
        with_keypoints(make_table(), ("nose", "ear"), [frames(10), None, frames(4)]),
    ]
    assert len({fingerprint, *map(fingerprint_of, changes)}) == 6


def changed(frame: int, keypoint: int, *values: float) -> pa.Table:
    wrong = frames(5)
    wrong[frame, keypoint] = values
    return posed(frames(3), None, wrong)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (posed(None, frames(11), None), "row 1 (video_id 'b'), column 'frame_keypoints': 11 entries for 10 frames"),
        (
            changed(2, 1, 0.5, 0.25, 1.5),
            "row 2 (video_id 'c'), column 'frame_keypoints': keypoint 'tail' is [0.5, 0.25, 1.5]; x and y are finite "
            "or both NaN, the likelihood is in [0, 1]",
        ),
        (changed(0, 0, np.nan, 0.25, 0.5), "row 2 (video_id 'c'), column 'frame_keypoints': keypoint 'nose' is [nan"),
        (changed(0, 0, np.inf, 0.25, 0.5), "row 2 (video_id 'c'), column 'frame_keypoints': keypoint 'nose' is [inf"),
        (changed(0, 0, 0.5, 0.25, np.nan), "row 2 (video_id 'c'), column 'frame_keypoints': keypoint 'nose' is [0.5"),
        (
            with_metadata(posed(None, None, None), keypoints=None),
            "the names of its keypoints in the metadata (fouls.keypoints) is missing",
        ),
        (with_metadata(make_table(), keypoints='["nose"]'), "column 'frame_keypoints' is missing"),
        (with_metadata(make_table(), keypoints="nose"), "metadata fouls.keypoints is not JSON"),
        (with_metadata(make_table(), keypoints='{"nose": 1}'), "metadata fouls.keypoints is {'nose': 1}, not a list"),
        (with_metadata(make_table(), keypoints='["a", "a"]'), "metadata fouls.keypoints names a keypoint twice: a, a"),
        (
            with_metadata(posed(None, None, None), keypoints='["nose"]'),
            "column 'frame_keypoints' is list<item: fixed_size_list<item: float>[6]>; for 1 keypoints it must be "
            "list<item: fixed_size_list<item: float>[3]>",
        ),
        (
            with_column(
                posed(None, None, None),
                "frame_keypoints",
                pa.array([[[0.0] * 5 + [None]], None, None], pa.list_(pa.list_(pa.float32(), 6))),
            ),
            "column 'frame_keypoints': null in a list; a missing keypoint is NaN",
        ),
    ],
)
def test_what_is_wrong_is_named(table: pa.Table, expected: str) -> None:
    with pytest.raises(ManifestError) as error:
        validate(table, "m.parquet")
    assert str(error.value).startswith(f"m.parquet: {expected}")


def test_a_video_that_could_not_be_probed_may_have_more(tmp_path: Path) -> None:
    table = make_table(probe_error=["too_short: segment beyond the end", None, None])
    validate(with_keypoints(table, NAMES, [frames(11), None, frames(10)]))


def test_several_manifests(tmp_path: Path) -> None:
    write_manifest(with_keypoints(make_table(["x"]), NAMES, [frames(3)]), tmp_path / "a.parquet")
    write_manifest(make_table(["y"]), tmp_path / "b.parquet")
    merged = read_manifest(tmp_path)
    assert keypoints_of(merged) == NAMES
    assert merged["frame_keypoints"].is_valid().to_pylist() == [True, False]
    write_manifest(with_keypoints(make_table(["z"]), NAMES[::-1], [frames(3)]), tmp_path / "c.parquet")
    with pytest.raises(ManifestError) as error:
        read_manifest(tmp_path)
    assert f"keypoints are nose, tail in {tmp_path / 'a.parquet'} and tail, nose in {tmp_path / 'c.parquet'}" in str(
        error.value
    )
