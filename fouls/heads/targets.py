"""Which logits answer for which labels: one a sample, or one a frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fouls.heads.losses import MISSING
from fouls.heads.samples import Samples
from fouls.heads.tasks import Task
from fouls.heads.training.mixing import Mixed


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The logits of one task beside the labels they answer for; N samples, or N frames."""

    logits: Tensor
    """(N, classes)"""
    labels: Tensor
    """(N,) int64, -1 where there is none; of a multi-label task (N, classes)."""
    samples: Tensor
    """(N,) index of the sample."""
    tracks: Tensor | None = None
    """(N,) index of the track, for frames."""
    frames: Tensor | None = None
    """(N,) native frame, for frames."""
    places: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    """What :func:`frame_places` gives, for frames."""


def answers(task: Task, logits: Tensor, samples: Samples, indices: Tensor, passes: Tensor | None = None) -> Answers:
    """Match a head's output with the labels of a batch.

    Args:
        task: whose output it is.
        logits: (B, classes), or (B, V, T, classes) for a task with a label a frame.
        samples: where the labels are.
        indices: (B,) the samples of the batch.
        passes: (B,) the pass of each; ``None``: the plain one.
    """
    if not task.per_frame:
        return Answers(logits=logits, labels=samples.labels[task.name][indices], samples=indices)
    sample, view, place, step = frame_places(samples, indices, passes)
    assert samples.frames is not None
    track = samples.tracks[indices[sample], view]
    return Answers(
        logits=logits[sample, view, step],
        labels=samples.frame_labels[task.name][track, place],
        samples=indices[sample],
        tracks=track,
        frames=samples.frames.first[track] + place,
        places=(sample, view, place, step),
    )


def frame_places(
    samples: Samples, indices: Tensor, passes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the frames of a batch are.

    Args:
        samples: with frames.
        indices: (B,) the samples of the batch.
        passes: (B,) the pass of each; ``None``: the plain one.

    Returns:
        For each of N frames the sample in the batch, the view, the place among the track's frames, and the time step
        of the head's output that answers for it; (N,) each.
    """
    assert samples.frames is not None
    tracks = samples.tracks[indices]  # (B, V)
    steps = samples.frames.steps_of(tracks, None if passes is None else passes[:, None].expand_as(tracks))  # (B, V, F)
    sample, view, place = torch.nonzero(steps >= 0, as_tuple=True)
    return sample, view, place, place if samples.pose is not None else steps[sample, view, place]


def partners_labels(
    task: Task, answer: Answers, samples: Samples, indices: Tensor, mixed: Mixed
) -> tuple[Tensor, Tensor]:
    """The labels of those that samples, or their frames, were mixed with.

    Args:
        task: whose labels.
        answer: of the batch.
        samples: where the labels are.
        indices: (B,) the samples of the batch.
        mixed: how they were mixed.

    Returns:
        Labels (N,) and the share (N,) that is one's own. A frame's partner is the frame at the same place of the
        partner's track in the same view, which holds for tracks of one length and rate.
    """
    if answer.places is None:
        return answer.labels[mixed.partners], mixed.shares
    sample, view, place, step = answer.places
    tracks = samples.tracks[indices[mixed.partners[sample]], view]
    labels = samples.frame_labels[task.name][tracks.clamp(min=0), place].masked_fill(tracks < 0, MISSING)
    return labels, mixed.step_shares[sample, view, step]


def label_counts(task: Task, samples: Samples) -> Tensor:
    """How many labels of each class there are in some samples, (classes,) int64."""
    if task.per_frame:
        labels = samples.frame_labels[task.name][samples.tracks[samples.tracks >= 0]]
    else:
        labels = samples.labels[task.name]
    if task.multi_label:
        return (labels == 1).sum(dim=0).cpu()
    return torch.bincount(labels[labels != MISSING].cpu(), minlength=len(task.classes))


def has_label(tasks: tuple[Task, ...], samples: Samples) -> Tensor:
    """Whether each sample carries a label of some task, (S,) bool."""
    labelled = torch.zeros(len(samples), dtype=torch.bool, device=samples.tracks.device)
    for task in tasks:
        if task.per_frame:
            tracks = (samples.frame_labels[task.name] != MISSING).any(dim=1)  # (U,)
            labelled |= (tracks[samples.tracks.clamp(min=0)] & (samples.tracks >= 0)).any(dim=1)
        elif task.multi_label:
            labelled |= samples.labels[task.name][:, 0] != MISSING
        else:
            labelled |= samples.labels[task.name] != MISSING
    return labelled
