"""Labels a frame meet time steps by the index of the frame."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fouls.heads.frames import align_frames, nearest_steps, pad_lists, step_centres


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


def test_lists_are_padded_with_ignore() -> None:
    padded = pad_lists([np.array([1, 2], np.int16), None, np.array([3], np.int16)], 3)
    np.testing.assert_array_equal(padded, [[1, 2, -1], [-1, -1, -1], [3, -1, -1]])


def test_a_track_has_the_frames_of_its_clips_and_those_that_are_labelled() -> None:
    rows = pa.table(
        {
            "frame_indices": [[4, 5, 6, 7], [8, 9, 10, 11], [0, 1, 2, 3]],
            "start_frame": [4, 8, 0],
            "stop_frame": [8, 12, 4],
        }
    )
    clips = np.array([[0, 1], [2, -1]])
    lists = [np.array([-1, 0, -1, -1, 1, 1], np.int16), None]
    aligned = align_frames(rows, clips, 2, lists)
    # steps of track 0 have their centres at 4.5, 6.5, 8.5 and 10.5; those of track 1 at 0.5 and 2.5
    first, second = [-1, 0, -1, -1, 0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, *[-1] * 8]
    np.testing.assert_array_equal(aligned.steps.numpy(), [first, second])
    np.testing.assert_array_equal(aligned.labels[0].numpy(), [-1, 0, -1, -1, 1, 1, *[-1] * 6])
    np.testing.assert_array_equal(aligned.labels[1].numpy(), [-1] * 12)
