from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fouls.errors import ManifestError
from fouls.manifests.builders.deeplabcut import read_pose
from fouls.manifests.builders.mouse import KEYPOINTS

TEXT = """scorer,net,net,net,net,net,net
bodyparts,tail,tail,tail,nose,nose,nose
coords,x,y,likelihood,likelihood,y,x
0,10.5,20,0.5,0.25,40,30
1,11,21,,0.75,41,31
3,nan,23,0.5,1,43,33
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_by_name_and_frame_in_any_order_of_columns(tmp_path: Path) -> None:
    pose = read_pose(write(tmp_path / "aDLC.csv", TEXT), ["nose", "tail"])
    missing = [np.nan, np.nan, 0]
    expected = [
        [[30, 40, 0.25], [10.5, 20, 0.5]],
        [[31, 41, 0.75], missing],
        [missing, missing],
        [[33, 43, 1], missing],
    ]
    np.testing.assert_array_equal(pose, np.array(expected, dtype=np.float32))
    assert pose.dtype == np.float32
    assert read_pose(tmp_path / "aDLC.csv", ["tail"]).shape == (4, 1, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Frame,Action\n0,1\n", "not a pose file of DeepLabCut: its first three lines start scorer, bodyparts, coords"),
        (TEXT.replace("bodyparts", "individuals"), "not a pose file of DeepLabCut"),
        (TEXT.replace("nose", "ear"), r"no keypoint 'nose' \(x, y, likelihood\); it has: tail, ear"),
        (TEXT.replace("likelihood,y,x", "likelihood,y,z"), "no keypoint 'nose'"),
        (TEXT.replace("1,11", "one,11"), "line 5: 'one' is no number of a frame"),
        (TEXT.replace("3,nan", "1,nan"), "frame 1 stands there twice"),
        (TEXT.replace("10.5", "left"), "line 4: not a number in each column .*'left'"),
        (TEXT + "4,1,2\n", "line 7: not a number in each column"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        read_pose(write(tmp_path / "aDLC.csv", text), ["nose", "tail"])


def test_the_real_file(shared: Path) -> None:
    (path,) = (shared / "mouse").glob("*DLC*.csv")
    pose = read_pose(path, KEYPOINTS)
    assert pose.shape == (1080, 6, 3)
    assert not np.isnan(pose).any()
    # The first line, whose columns have the tail last and the left paws before the right ones.
    np.testing.assert_allclose(pose[0, 0], (351.48895, 181.71436, 0.99996), rtol=1e-5)
    np.testing.assert_allclose(pose[0, 1], (232.15192, 375.76187, 0.97309), rtol=1e-5)
    np.testing.assert_allclose(pose[0, 3], (314.03629, 206.20720, 0.99986), rtol=1e-5)
    np.testing.assert_allclose(pose[0, 5], (291.77081, 281.67658, 0.99525), rtol=1e-5)
