"""Trials with a class a frame; that each frame gets its own label is read off the pictures of a numbered video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.build import build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.builders.mouse import ACTIONS, KEYPOINTS, collect
from fouls.manifests.probing import ProbingOptions
from fouls.manifests.table import keypoints_of, kind_of, read_manifest, tasks_of
from fouls.video.decoders import open_video
from tests.media import frame_numbered_video, read_frame_number

TRIAL = 40
"""Frames of a trial in these tests."""


def write_labels(
    folder: Path, actions: Sequence[object], *, video: str = "m.mp4", trial: int = 1, first: int = 0
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"prediction_{video}_{trial}.csv"
    lines = [f"{first + index},{action}" for index, action in enumerate(actions)]
    path.write_text("\n".join(["Frame,Action", *lines]))
    return path


def write_pose(path: Path, num_frames: int, names: Sequence[str] = KEYPOINTS) -> Path:
    """The k-th keypoint lies at (frame + k, frame) pixels; the second one is missing in odd frames."""
    columns = [(name, coord) for name in names for coord in ("x", "y", "likelihood")]
    lines = [
        ",".join(["scorer", *["net"] * len(columns)]),
        ",".join(["bodyparts", *(name for name, _ in columns)]),
        ",".join(["coords", *(coord for _, coord in columns)]),
    ]
    for frame in range(num_frames):
        cells = [f"{frame + k},{frame},0.9" if k != 1 or frame % 2 == 0 else ",," for k in range(len(names))]
        lines.append(",".join([str(frame), *cells]))
    path.write_text("\n".join(lines))
    return path


def options(*sources: Path, **others: object) -> BuildOptions:
    return BuildOptions(sources=sources, **{"trial_frames": TRIAL, **others})  # type: ignore[arg-type]


def build(folder: Path, **others: object) -> pa.Table:
    path = folder.parent / "m.parquet"
    build_manifest(list_videos("mouse", options(folder, **others)), path, ProbingOptions(workers=1))
    return read_manifest(path)


def test_each_frame_has_the_label_and_the_pose_of_the_number_in_its_picture(tmp_path: Path) -> None:
    """Three trials that start elsewhere: at a frame that their numbers tell, 15 frames late, and at once."""
    folder = tmp_path / "mouse"
    video = frame_numbered_video(folder / "m.mp4", 3 * TRIAL, fps=30)

    def action(number: int) -> int:
        return number * 5 % 7  # no period of a trial or of the offset

    labelled = {1: range(5, TRIAL), 2: range(TRIAL + 15, 2 * TRIAL), 3: range(2 * TRIAL, 3 * TRIAL)}
    for trial, numbers in labelled.items():
        write_labels(folder, [action(number) for number in numbers], trial=trial, first=5 if trial == 1 else 0)
    write_pose(folder / "mDLC_net.csv", 3 * TRIAL)
    table = build(folder)

    assert table["video_id"].to_pylist() == [f"m/trial_{trial}" for trial in labelled]
    assert table["start_frame"].to_pylist() == [0, TRIAL, 2 * TRIAL]
    assert table["stop_frame"].to_pylist() == [TRIAL, 2 * TRIAL, 3 * TRIAL]
    assert table["probe_error"].to_pylist() == [None] * 3
    width, height = table["width"][0].as_py(), table["height"][0].as_py()
    frames = list(open_video(str(video), "pyav").read(np.arange(3 * TRIAL)))
    for row, numbers in zip(table.to_pylist(), labelled.values(), strict=True):
        labels, poses = row["frame_label.action"], row["frame_keypoints"]
        assert len(labels) == len(poses) == row["stop_frame"]
        for index, frame in enumerate(frames[: row["stop_frame"]]):
            number = read_frame_number(frame)
            assert labels[index] == (action(number) if number in numbers else -1)
            mouth, tail = np.array(poses[index]).reshape(-1, 3)[:2]
            if number < row["start_frame"]:
                np.testing.assert_array_equal((mouth, tail), [(np.nan, np.nan, 0)] * 2)
                continue
            np.testing.assert_allclose(mouth, (number / width, number / height, 0.9), rtol=1e-6)
            seen = ((number + 1) / width, number / height, 0.9)
            np.testing.assert_allclose(tail, seen if number % 2 == 0 else (np.nan, np.nan, 0), rtol=1e-6)


def test_labels_and_classes(tmp_path: Path) -> None:
    write_labels(tmp_path, [0, -1, "", 7] * (TRIAL // 4))
    listing = collect(options(tmp_path))
    assert listing.tasks == {"action": ACTIONS}
    assert listing.kind_of("action") == "frame_label"
    assert listing.rows[0].labels["action"] == (0, -1, -1, 7) * (TRIAL // 4)
    merged = collect(options(tmp_path, merges=("1,3,5",), task="behaviour"))
    assert merged.tasks == {
        "behaviour": ("rest", "paw_withdraw+paw_guard+flinch", "paw_lick", "paw_shake", "walk", "active")
    }
    assert merged.rows[0].labels["behaviour"] == (0, -1, -1, 5) * (TRIAL // 4)


def test_class_names_of_another_data_set(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("sleep\neat\n")
    write_labels(tmp_path / "labels", ["eat", "sleep"] * (TRIAL // 2))
    listing = collect(options(tmp_path / "labels", class_names={"": names}))
    assert listing.tasks == {"action": ("sleep", "eat")}
    assert listing.rows[0].labels["action"] == (1, 0) * (TRIAL // 2)
    write_labels(tmp_path / "labels", [2] * TRIAL)
    with pytest.raises(
        ManifestError, match=r"_1\.csv: line 2: label 2 is no class; .*names\.txt has 2 classes, 0 to 1"
    ):
        collect(options(tmp_path / "labels", class_names={"": names}))
    with pytest.raises(ManifestError, match="label 8 is no class; the mouse data has 8 classes, 0 to 7"):
        collect(options(write_labels(tmp_path / "mouse", [8] * TRIAL)))


def test_offsets(tmp_path: Path) -> None:
    """The first label's frame: 15 where 15 lines lack, what the lines say, or what is given."""
    short = write_labels(tmp_path, [6] * (TRIAL - 15))
    listing = collect(options(short))
    assert listing.rows[0].labels["action"] == (-1,) * 15 + (6,) * (TRIAL - 15)
    assert listing.notes[0] == (
        "1 of 1 label files are 15 frames short: they are taken to start at frame 15 of their trial; --frame-offset N "
        "sets another"
    )
    given = collect(options(short, frame_offset=0))
    assert given.rows[0].labels["action"] == (6,) * (TRIAL - 15)
    assert "--frame-offset" not in " ".join(given.notes)
    numbered = write_labels(tmp_path, [6] * 10, trial=3, first=30)
    assert collect(options(numbered)).rows[0].labels["action"] == (-1,) * (2 * TRIAL + 30) + (6,) * 10


@pytest.mark.parametrize(
    ("actions", "first", "others", "expected"),
    [
        ([0] * 39, 0, {}, "39 frames, but a trial has 40, or 25 from frame 15 on; --trial-frames N sets what a trial"),
        ([0] * 41, 0, {}, "41 frames, but a trial has 40, or 25"),
        ([0] * 40, 1, {}, "40 frames, the first of them frame 1 of the trial, but a trial has 40; --trial-frames N"),
        ([0] * 40, 0, {"frame_offset": 2}, "40 frames, the first of them frame 2 of the trial, but a trial has 40"),
        ([], 0, {}, "a header and no line below it"),
    ],
)
def test_labels_that_don_t_fit_a_trial(
    tmp_path: Path, actions: list[int], first: int, others: dict[str, object], expected: str
) -> None:
    with pytest.raises(ManifestError, match=expected):
        collect(options(write_labels(tmp_path, actions, first=first), **others))


def test_frames_are_consecutive_numbers(tmp_path: Path) -> None:
    path = write_labels(tmp_path, [0] * TRIAL)
    text = path.read_text()
    path.write_text(text.replace("\n5,0\n", "\n"))
    with pytest.raises(ManifestError, match="line 7: frame 6 after frame 4; frames must be consecutive"):
        collect(options(path))
    path.write_text(text.replace("\n5,0\n", "\nfive,0\n"))
    with pytest.raises(ManifestError, match="line 7, column 'Frame': 'five' is no number of a frame"):
        collect(options(path))
    path.write_text(text.replace("Action", "Label"))
    with pytest.raises(ManifestError, match=r"no column 'Action' \(columns: Frame, Label\)"):
        collect(options(path))


def test_sources_and_options(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such files below it; format 'mouse' reads prediction_VIDEO_TRIAL"):
        collect(options(tmp_path))
    with pytest.raises(ManifestError, match=r"labels\.csv: not called like this; format 'mouse' reads prediction_"):
        collect(options(tmp_path / "labels.csv"))
    path = write_labels(tmp_path / "labels", [0] * TRIAL, video="a_b.mp4", trial=12)
    with pytest.raises(ConfigError, match="--trial-frames is 0; it must be at least 1"):
        collect(options(path, trial_frames=0))
    with pytest.raises(ConfigError, match="--frame-offset is 40; allowed: 0 to 39"):
        collect(options(path, frame_offset=40))
    (tmp_path / "videos").mkdir()
    listing = collect(options(path, roots=(tmp_path / "videos",), splits=("val",)))
    (row,) = listing.rows
    assert row.path == str(tmp_path / "videos" / "a_b.mp4")
    assert (row.video_id, row.split) == ("a_b/trial_12", "valid")
    assert (row.start_frame, row.stop_frame) == (11 * TRIAL, 12 * TRIAL)
    assert listing.name == "videos"


def test_a_video_of_one_trial_is_taken_whole(tmp_path: Path) -> None:
    """Whatever the trial's number; but where a video has several trials, each has its window."""
    folder = tmp_path / "mouse"
    frame_numbered_video(folder / "m.mp4", TRIAL)
    write_labels(folder, range(8), trial=2, first=30)
    write_pose(folder / "mDLC.csv", TRIAL)
    table = build(folder, trial_frames=TRIAL)
    (row,) = table.to_pylist()
    assert (row["video_id"], row["start_frame"], row["stop_frame"]) == ("m/trial_2", None, None)
    assert row["frame_label.action"] == [-1] * 30 + list(range(8))
    assert len(row["frame_keypoints"]) == TRIAL
    write_labels(folder, [1] * TRIAL, trial=1)
    table = build(folder, trial_frames=TRIAL)
    assert table["start_frame"].to_pylist() == [0, TRIAL]
    assert table["probe_error"].to_pylist() == [
        None,
        f"too_short: segment beyond the end: start_frame is {TRIAL}, the video has {TRIAL} frames",
    ]


def test_labels_beyond_the_end_of_the_video_cost_their_row(tmp_path: Path) -> None:
    folder = tmp_path / "mouse"
    frame_numbered_video(folder / "m.mp4", TRIAL - 1)
    write_labels(folder, [1] * TRIAL)
    assert build(folder)["probe_error"].to_pylist() == [
        f"too_short: segment beyond the end: stop_frame is {TRIAL}, the video has {TRIAL - 1} frames"
    ]


def test_pose_files(tmp_path: Path) -> None:
    folder = tmp_path / "mouse"
    frame_numbered_video(folder / "m.mp4", TRIAL)
    write_labels(folder, [0] * TRIAL)
    assert keypoints_of(build(folder)) == ()
    pose = write_pose(folder / "mDLC_net.csv", TRIAL - 2, names=("ear", "tail", "nose"))
    with pytest.raises(ManifestError, match=r"mDLC_net\.csv: no keypoint 'mouth' .*; it has: ear, tail, nose"):
        build(folder)
    table = build(folder, keypoints=("nose", "ear"))
    assert keypoints_of(table) == ("nose", "ear")
    values = np.array(table["frame_keypoints"][0].as_py())
    np.testing.assert_allclose(values[:, 0] * table["width"][0].as_py(), np.arange(TRIAL - 2) + 2, rtol=1e-6)
    np.testing.assert_allclose(values[:, 3] * table["width"][0].as_py(), np.arange(TRIAL - 2), rtol=1e-6)
    listing = list_videos("mouse", options(folder, keypoints=("nose", "ear")))
    report = build_manifest(listing, tmp_path / "m.parquet", ProbingOptions(workers=1))
    assert f"m.mp4 has {TRIAL - 2} of pose and {TRIAL} of video, for one" in " ".join(report.notes)
    pose.rename(folder / "mDLC_a.csv")
    write_pose(folder / "mDLC_b.csv", TRIAL)
    with pytest.raises(ManifestError, match=r"several pose files, .*mDLC_a\.csv and .*mDLC_b\.csv; keep one of them"):
        build(folder)


def test_the_real_files(shared: Path, tmp_path: Path) -> None:
    """Without their video: it is not there, so neither is the pose, and the row says why."""
    listing = list_videos("mouse", BuildOptions(sources=(shared / "mouse",), merges=("1,3,5",)))
    report = build_manifest(listing, tmp_path / "m.parquet", ProbingOptions(workers=1))
    table = read_manifest(tmp_path / "m.parquet")
    (row,) = table.to_pylist()
    assert row["video_id"] == "shortened_2023-10-25_CFA_010_267M_tracking/trial_1"
    assert (row["start_frame"], row["stop_frame"]) == (0, 360)
    assert row["frame_label.action"] == [0] * 360
    assert row["probe_error"] == "unreadable: no such file"
    assert row["frame_keypoints"] is None
    assert keypoints_of(table) == KEYPOINTS
    assert (kind_of(table, "action"), len(tasks_of(table)["action"])) == ("frame_label", 6)
    assert len(report.failures) == 1


def test_the_real_files_with_a_video(shared: Path, tmp_path: Path) -> None:
    """Any video of 1 080 frames does: the pose has so many, and the label file is of the first 360."""
    video = tmp_path / "videos" / "shortened_2023-10-25_CFA_010_267M_tracking.mp4"
    frame_numbered_video(video, 1080, gop=250)
    listing = list_videos("mouse", BuildOptions(sources=(shared / "mouse",), roots=(video.parent,)))
    report = build_manifest(listing, tmp_path / "m.parquet", ProbingOptions(workers=1))
    (row,) = read_manifest(tmp_path / "m.parquet").to_pylist()
    assert report.failures == ()
    assert (row["start_frame"], row["stop_frame"], row["num_frames"]) == (0, 360, 1080)
    pose = np.array(row["frame_keypoints"])
    assert pose.shape == (360, 18)
    np.testing.assert_allclose(pose[0, :3], (351.48895 / 96, 181.71436 / 64, 0.99996), rtol=1e-5)
