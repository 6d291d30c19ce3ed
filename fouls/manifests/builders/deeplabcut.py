"""The pose files of DeepLabCut (https://arxiv.org/abs/1804.03142): a CSV with a line a frame below three of header."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fouls.errors import ManifestError
from fouls.manifests.builders.sources import read_lines
from fouls.manifests.keypoints import Keypoints

_HEADER = ("scorer", "bodyparts", "coords")
_COORDS = ("x", "y", "likelihood")


def read_pose(path: Path, keypoints: Sequence[str]) -> Keypoints:
    """Read some of a file's keypoints, whatever the order of its columns.

    Args:
        path: the file.
        keypoints: K names, in the order wanted.

    Returns:
        (F, K, 3) float32: x and y in pixels, and likelihood, in the native frames 0 to F − 1. What the file lacks has
        NaN coordinates and likelihood 0.

    Raises:
        ManifestError: not readable, not of DeepLabCut, a keypoint is not in it, or a value is no number.
    """
    lines = [line for line in csv.reader(line + "\n" for line in read_lines(path)) if line]
    if tuple(line[0] for line in lines[: len(_HEADER)]) != _HEADER:
        raise ManifestError(f"{path}: not a pose file of DeepLabCut: its first three lines start {', '.join(_HEADER)}")
    columns = _columns(lines, keypoints, path)
    frames = [_frame(line, number, path) for number, line in enumerate(lines[3:], start=4)]
    if len(set(frames)) < len(frames):
        raise ManifestError(f"{path}: frame {next(f for f in frames if frames.count(f) > 1)} stands there twice")
    values = np.full((max(frames, default=-1) + 1, len(columns)), np.nan, dtype=np.float32)
    for number, (frame, line) in enumerate(zip(frames, lines[3:], strict=True), start=4):
        try:
            values[frame] = [float(line[column] or "nan") for column in columns]
        except (ValueError, IndexError) as error:
            raise ManifestError(f"{path}: line {number}: not a number in each column ({error})") from error
    pose = values.reshape(len(values), len(keypoints), 3)
    pose[np.isnan(pose).any(axis=-1)] = (np.nan, np.nan, 0)
    return pose


def _columns(lines: Sequence[Sequence[str]], keypoints: Sequence[str], path: Path) -> list[int]:
    """The columns of x, y and likelihood of each keypoint, one after another."""
    _, bodyparts, coords = lines[:3]
    places = {pair: column for column, pair in enumerate(zip(bodyparts, coords, strict=False)) if column > 0}
    for name in keypoints:
        if any((name, coord) not in places for coord in _COORDS):
            known = ", ".join(dict.fromkeys(bodyparts[1:]))
            raise ManifestError(f"{path}: no keypoint {name!r} (x, y, likelihood); it has: {known}")
    return [places[name, coord] for name in keypoints for coord in _COORDS]


def _frame(line: Sequence[str], number: int, path: Path) -> int:
    if not line[0].isdecimal():
        raise ManifestError(f"{path}: line {number}: {line[0]!r} is no number of a frame")
    return int(line[0])
