"""Labels a frame as one sequence a video."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.heads.predictions import Predictions

Sequences = list[npt.NDArray[np.int64]]
"""(T,) class indices of each video."""


def label_sequences(predictions: Predictions) -> tuple[Sequences, Sequences]:
    """The labels and the predicted classes of each video's frames, in the order of the frames.

    Frames without a label are left out. A frame that was predicted more than once, in several crops, takes the class
    with the largest sum of probabilities.

    Args:
        predictions: of a task with a label a frame.
    """
    assert predictions.video_ids is not None
    assert predictions.frames is not None
    known = predictions.labels >= 0
    videos = pa.array(predictions.video_ids[known], pa.string()).dictionary_encode().indices.to_numpy()
    order = np.lexsort((predictions.frames[known], videos))
    videos, frames = videos[order], predictions.frames[known][order]
    starts = np.flatnonzero(_changes(videos) | _changes(frames))  # one a frame
    sums = np.add.reduceat(predictions.probabilities[known][order], starts, axis=0)
    ends_of_videos = np.flatnonzero(_changes(videos[starts]))[1:]
    labels = predictions.labels[known][order][starts]
    return np.split(labels, ends_of_videos), np.split(sums.argmax(axis=1), ends_of_videos)


def _changes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before; the first does."""
    return np.concatenate([np.ones(1, dtype=bool), values[1:] != values[:-1]])
