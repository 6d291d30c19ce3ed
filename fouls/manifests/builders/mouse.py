"""``mouse``: trials of videos with a class a frame (``prediction_VIDEO_TRIAL.csv``), and DeepLabCut's pose beside them.

The trials of a video are consecutive windows of its frames. Each is a row, a segment of the file; its labels and
keypoints are lists by native frame, from frame 0 of the file on, wherever the trial starts.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.builders.deeplabcut import read_pose
from fouls.manifests.builders.list_file import DEFAULT_TASK
from fouls.manifests.builders.listing import Builder, BuildOptions, Listing, Row
from fouls.manifests.builders.mouse_labels import SHORT_BY, TrialLabels, find_labels, read_labels
from fouls.manifests.builders.sources import class_names_of, common_folder, one_for_each, root_folders
from fouls.manifests.class_merge import merge_classes
from fouls.manifests.class_names import ClassNames, are_numbers, encode_names, encode_numbers
from fouls.manifests.keypoints import Keypoints
from fouls.manifests.schema import IGNORED_FRAME
from fouls.manifests.splits import canonical_split
from fouls.video.types import VideoInfo

ACTIONS = ("rest", "paw_withdraw", "paw_lick", "paw_guard", "paw_shake", "flinch", "walk", "active")
KEYPOINTS = ("mouth", "tail_base", "L_frontpaw", "R_frontpaw", "L_hindpaw", "R_hindpaw")
TRIAL_FRAMES = 360

_ACTION_CLASSES = ClassNames(
    names=ACTIONS, numbers={index: index for index in range(len(ACTIONS))}, source="the mouse data"
)


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What a label file says."""

    file: Path
    video: str
    """Absolute."""
    number: int
    """From 1."""
    split: str
    labels: TrialLabels
    actions: tuple[int, ...]
    """The labels as classes of the task, -1 where there is none."""

    @property
    def stop(self) -> int:
        """The frame of the trial after the last labelled one."""
        return self.labels.offset + len(self.actions)


@dataclass(frozen=True, kw_only=True)
class _Recordings:
    """All that is known before a video is looked at."""

    trials: tuple[_Trial, ...]
    trial_frames: int
    poses: Mapping[str, Keypoints]
    """Video → (F, K, 3), in pixels."""
    listing: Listing
    """Without rows."""


def collect(options: BuildOptions) -> Listing:
    """List every trial that has a label file. Where its segment and keypoints lie is settled when its video is probed.

    Raises:
        ConfigError: the options don't fit each other.
        ManifestError: no label file, one that is not as it should be, or a video with several pose files.
    """
    trial_frames = TRIAL_FRAMES if options.trial_frames is None else options.trial_frames
    task = options.task or DEFAULT_TASK
    classes = class_names_of(task, [task], options) or _ACTION_CLASSES
    names, merged = merge_classes(classes.names, options.merges)
    trials = tuple(_trials(options, trial_frames, classes, merged))
    keypoints = options.keypoints or KEYPOINTS
    poses = _poses(trials, keypoints)
    root = common_folder(Path(trial.video).parent for trial in trials)
    listing = Listing(
        rows=(),
        root=root,
        name=root.name,
        tasks={task: names},
        kinds={task: "frame_label"},
        keypoints=keypoints if poses else (),
        notes=_notes(trials, poses),
    )
    recordings = _Recordings(trials=trials, trial_frames=trial_frames, poses=poses, listing=listing)
    return _settled(recordings, {})


def _trials(options: BuildOptions, trial_frames: int, classes: ClassNames, merged: Sequence[int]) -> Iterator[_Trial]:
    if trial_frames < 1:
        raise ConfigError(f"--trial-frames is {trial_frames}; it must be at least 1")
    if options.frame_offset is not None and not 0 <= options.frame_offset < trial_frames:
        raise ConfigError(f"--frame-offset is {options.frame_offset}; allowed: 0 to {trial_frames - 1}")
    roots = root_folders(options)
    splits = one_for_each([canonical_split(split) for split in options.splits], options, "--split")
    for index, source in enumerate(options.sources):
        for file in find_labels(source):
            labels = read_labels(file.path, trial_frames, options.frame_offset)
            yield _Trial(
                file=file.path,
                video=os.path.join(file.path.parent if roots is None else roots[index], file.video),
                number=file.trial,
                split="" if splits is None else splits[index],
                labels=labels,
                actions=_actions(labels, classes, merged),
            )


def _actions(labels: TrialLabels, classes: ClassNames, merged: Sequence[int]) -> tuple[int, ...]:
    encode = encode_numbers if are_numbers(labels.labels) else encode_names
    _, indices = encode(labels.labels, classes, labels.places.__getitem__)
    return tuple(IGNORED_FRAME if index is None else merged[index] for index in indices)


def _poses(trials: Sequence[_Trial], keypoints: Sequence[str]) -> dict[str, Keypoints]:
    """Video → pose, of those that have a file ``VIDEODLC….csv`` beside their labels or beside themselves."""
    folders: dict[str, dict[Path, None]] = {}
    for trial in trials:
        folders.setdefault(trial.video, {}).update({trial.file.parent: None, Path(trial.video).parent: None})
    poses = {}
    for video, places in folders.items():
        pattern = f"{glob.escape(Path(video).stem)}DLC*.csv"
        files = [file for folder in places for file in sorted(folder.glob(pattern))]
        if len(files) > 1:
            raise ManifestError(f"{video}: several pose files, {files[0]} and {files[1]}; keep one of them")
        if files:
            poses[video] = read_pose(files[0], keypoints)
    return poses


def _notes(trials: Sequence[_Trial], poses: Mapping[str, Keypoints]) -> tuple[str, ...]:
    notes = []
    inferred = sum(trial.labels.inferred for trial in trials)
    if inferred:
        notes.append(
            f"{inferred} of {len(trials)} label files are {SHORT_BY} frames short: they are taken to start at frame "
            f"{SHORT_BY} of their trial; --frame-offset N sets another"
        )
    num_videos = len({trial.video for trial in trials})
    if len(poses) < num_videos:
        notes.append(f"{num_videos - len(poses)} of {num_videos} videos have no pose file (VIDEODLC….csv)")
    return tuple(notes)


def _settled(recordings: _Recordings, infos: Mapping[str, VideoInfo]) -> Listing:
    """The listing, as far as it can be told from the videos that are known."""
    of_video = Counter(trial.video for trial in recordings.trials)
    notes = recordings.listing.notes
    others = {
        video: f"{len(pose)} of pose and {infos[video].num_frames} of video"
        for video, pose in recordings.poses.items()
        if video in infos and len(pose) != infos[video].num_frames
    }
    if others:
        video, frames = next(iter(others.items()))
        notes += (f"{len(others)} pose files don't have the frames of their video; {video} has {frames}, for one",)
    return replace(
        recordings.listing,
        rows=tuple(
            _row(trial, recordings, infos.get(trial.video), is_only=of_video[trial.video] == 1)
            for trial in recordings.trials
        ),
        notes=notes,
        settle=partial(_settled, recordings),
    )


def _row(trial: _Trial, recordings: _Recordings, info: VideoInfo | None, *, is_only: bool) -> Row:
    trial_frames = recordings.trial_frames
    start, stop = (trial.number - 1) * trial_frames, trial.number * trial_frames
    is_whole = info is not None and is_only and trial.stop <= info.num_frames <= trial_frames
    if info is not None and is_whole:
        start, stop = 0, info.num_frames
    pose = recordings.poses.get(trial.video)
    name = os.path.splitext(os.path.relpath(trial.video, recordings.listing.root))[0]
    (task,) = recordings.listing.tasks
    return Row(
        path=trial.video,
        place=str(trial.file),
        video_id=f"{name}/trial_{trial.number}",
        split=trial.split,
        start_frame=None if is_whole else start,
        stop_frame=None if is_whole else stop,
        labels={task: (IGNORED_FRAME,) * (start + trial.labels.offset) + trial.actions},
        keypoints=None if pose is None or info is None else _keypoints(pose[:stop], start, info),
    )


def _keypoints(pose: Keypoints, start: int, info: VideoInfo) -> Keypoints | None:
    """The pose from ``start`` on as shares of width and height; all is missing in the frames before."""
    if len(pose) <= start:
        return None
    scaled: Keypoints = pose.copy()
    scaled[..., 0] /= info.width
    scaled[..., 1] /= info.height
    scaled[:start] = (np.nan, np.nan, 0)
    return scaled


BUILDER = Builder(
    collect=collect,
    reads=frozenset({"roots", "task", "splits", "class_names", "trial_frames", "frame_offset", "merges", "keypoints"}),
    summary="trials with a class a frame, and DeepLabCut's pose",
)
