"""Labels a frame meet time steps by the index of the frame."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from fouls.heads.frames import frames_of, nearest_steps, step_centres


def test_centres_are_means_of_each_steps_frames() -> None:
    indices = np.array([np.linspace(0, 179, 16).astype(int), np.arange(100, 116)])
    centres = step_centres(indices, 8)
    np.testing.assert_allclose(centres, indices.reshape(2, 8, 2).mean(axis=2))
    np.testing.assert_allclose(step_centres(indices, 1)[1], [107.5])
    np.testing.assert_allclose(step_centres(indices, 16), indices)


def test_nearest_steps_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, 70, (20, 6))
    centres[3, 2:] = np.inf
    centres[4, 1:] = np.inf
    expected = np.abs(centres[:, None, :] - np.arange(50)[None, :, None]).argmin(axis=2)
    np.testing.assert_array_equal(nearest_steps(centres, 50), expected)


def test_of_two_equally_near_steps_the_earlier_answers() -> None:
    np.testing.assert_array_equal(nearest_steps(np.array([[4.0, 0.0]]), 5), [[1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(nearest_steps(np.array([[2.0]]), 3), [[0, 0, 0]])


def rows(*clips: tuple[int, ...]) -> pa.Table:
    """Rows with these native frames."""
    return pa.table(
        {
            "frame_indices": [list(clip) for clip in clips],
            "start_frame": [clip[0] for clip in clips],
            "stop_frame": [clip[-1] + 1 for clip in clips],
        }
    )


def test_a_track_has_the_frames_of_its_clips_and_those_that_are_labelled() -> None:
    table = rows((4, 5, 6, 7), (8, 9, 10, 11), (0, 1, 2, 3))
    clips = np.array([[[0, 1], [2, -1]]])
    lists = [np.array([-1, 0, -1, -1, 1, 1], np.int16), None]
    frames = frames_of(table, clips, 2, [lists])
    # steps of track 0 have their centres at 4.5, 6.5, 8.5 and 10.5; those of track 1 at 0.5 and 2.5
    assert frames.first.tolist() == [1, 0]
    np.testing.assert_array_equal(frames.steps[0], [[0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, *[-1] * 7]])
    labels = frames.place(lists, -1, torch.int64)
    np.testing.assert_array_equal(labels, [[0, -1, -1, 1, 1, *[-1] * 6], [-1] * 11])


def test_a_window_far_into_a_long_video_costs_no_more_than_its_frames() -> None:
    table = rows(tuple(range(100_000, 100_016)))
    frames = frames_of(table, np.array([[[0]]]), 8, [[None]])
    assert frames.steps.shape == (1, 1, 16)
    values = np.arange(100_020, dtype=np.float32)[:, None] * [1, 2]
    placed = frames.place([values], np.nan, torch.float32)
    np.testing.assert_array_equal(placed[0], values[100_000:100_016])


def test_every_pass_answers_with_its_own_steps() -> None:
    table = rows((0, 1, 2, 3), (2, 3, 4, 5))  # the plain clip, and one that is moved by two frames
    frames = frames_of(table, np.array([[[0]], [[1]]]), 2)
    np.testing.assert_array_equal(frames.steps[:, 0], [[0, 0, 1, 1], [0, 0, 0, 0]])
    picked = frames.steps_of(torch.tensor([[0, -1]]), torch.tensor([[1, 1]]))
    np.testing.assert_array_equal(picked[0], [[0, 0, 0, 0], [-1] * 4])
