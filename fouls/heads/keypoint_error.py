"""How far the keypoints that a head regresses lie off."""

from __future__ import annotations

import torch

from fouls.heads.head import Head
from fouls.heads.keypoints import visible
from fouls.heads.metrics import keypoint_mae
from fouls.heads.samples import Samples
from fouls.heads.targets import frame_places

_BATCH = 256


@torch.no_grad()
def keypoint_error(head: Head, samples: Samples) -> float | None:
    """The mean absolute error of visible keypoints, as a share of width and height, over all frames.

    Args:
        head: on the device of the samples; it is left in evaluation mode.
        samples: reduced.

    Returns:
        ``None`` for a head that regresses none, and where none is visible.
    """
    head.eval()
    predicted, truth = [], []
    for indices, batch in samples.batches(_BATCH):
        keypoints = head.classify(batch).extras.keypoints
        if keypoints is None or samples.keypoints is None:
            return None
        sample, view, place, step = frame_places(samples, indices)
        predicted.append(keypoints[sample, view, step].cpu())
        truth.append(samples.keypoints[samples.tracks[indices[sample], view], place].cpu())
    of_frames = torch.cat(truth)
    return keypoint_mae(torch.cat(predicted), of_frames[..., :2], visible(of_frames))
