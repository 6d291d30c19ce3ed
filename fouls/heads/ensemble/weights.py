"""What the probabilities of each run weigh in their average, and the average itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fouls.errors import ConfigError
from fouls.heads.losses import MISSING

Floats = npt.NDArray[np.float64]

MIN_PROBABILITY = 1e-12
"""Smaller ones count as this where a logarithm is taken."""
_MAX_GAP = 1e-7
"""Nats a label that may be left to gain when fitting ends."""
_MAX_STEPS = 100_000


def normalised(weights: Sequence[float], num_runs: int) -> Floats:
    """Weights (M,) that were chosen by hand, with sum 1.

    Raises:
        ConfigError: another number of weights than runs, a negative one or one that is no number, or nothing but 0.
    """
    said = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != num_runs:
        raise ConfigError(f"weights {said} are {len(weights)}, but there are {num_runs} runs: give one a run")
    array = np.array(weights, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or not array.sum() > 0:
        raise ConfigError(f"weights are {said}; allowed are numbers from 0 on, one of them above 0")
    found: Floats = array / array.sum()
    return found


def likelihoods(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64], *, multi_label: bool = False
) -> Floats:
    """The probability that each run gave to what turned out to be true, of every label that is known.

    Args:
        probabilities: (M, N, classes), finite where there are labels.
        labels: (N,) class indices, -1 where there is none; of a multi-label task (N, classes): 1, 0, or -1.
        multi_label: every class of a sample is a decision of its own.

    Returns:
        (M, K), at least :data:`MIN_PROBABILITY`; K labels, of a multi-label task times the classes.
    """
    known = (labels[:, 0] if multi_label else labels) != MISSING
    given, truth = probabilities[:, known].astype(np.float64), labels[known]
    if multi_label:
        of_truth = np.where(truth == 1, given, 1 - given).reshape(len(given), -1)
    else:
        of_truth = np.take_along_axis(given, truth[None, :, None], axis=2)[:, :, 0]
    return np.maximum(of_truth, MIN_PROBABILITY)


def fit_weights(of_truth: Floats) -> Floats:
    """The weights of the average with the lowest negative log-likelihood: w of min −1/K Σ_k log Σ_m w_m p_mk.

    These are the proportions of a mixture whose components are fixed, found by the EM algorithm (Dempster, Laird and
    Rubin 1977): a run's next weight is the mean share that it has in the average. The problem is convex, each step
    lowers its value, and it ends when no weights can be better by more than 1e-7 nats a label: the largest component of
    the gradient, less 1, bounds what is left.

    Args:
        of_truth: (M, K) from :func:`likelihoods`, K ≥ 1.

    Returns:
        (M,), sum 1.
    """
    weights = np.full(len(of_truth), 1 / len(of_truth))
    for _ in range(_MAX_STEPS):
        gradient = (of_truth / (weights @ of_truth)).mean(axis=1)  # (M,), of the log-likelihood
        if gradient.max() - 1 <= _MAX_GAP:
            break
        weights *= gradient
        weights /= weights.sum()  # it is 1 but for rounding
    return weights


def negative_log_likelihood(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64], *, multi_label: bool = False
) -> float | None:
    """The mean over the known labels, in nats; of a multi-label task the binary cross-entropy, over its classes too.

    Args:
        probabilities: (N, classes)
        labels: see :func:`likelihoods`.
        multi_label: likewise.

    Returns:
        ``None`` where nothing is labelled.
    """
    of_truth = likelihoods(probabilities[None], labels, multi_label=multi_label)
    return float(-np.log(of_truth).mean()) if of_truth.size else None


def weighted_average(
    probabilities: npt.NDArray[np.floating], present: npt.NDArray[np.bool_], weights: Floats
) -> npt.NDArray[np.float32]:
    """Σ_m w_m p_m, over the runs that have a prediction, whose weights are scaled to a sum of 1.

    Where only runs of weight 0 have one, they weigh the same.

    Args:
        probabilities: (M, N, classes); what stands where there is no prediction is not looked at.
        present: (M, N), true somewhere for every n.
        weights: (M,)

    Returns:
        (N, classes)
    """
    shares = weights[:, None] * present
    shares = np.where(shares.sum(axis=0) > 0, shares, present)  # (M, N)
    shares = shares / shares.sum(axis=0)
    average = np.zeros(probabilities.shape[1:])
    for share, of_run, there in zip(shares, probabilities, present, strict=True):
        average[there] += share[there, None] * of_run[there]
    return average.astype(np.float32)
