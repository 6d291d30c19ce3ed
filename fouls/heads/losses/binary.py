"""Binary cross-entropy: each class against the others on a sigmoid, with one label an example or with several."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fouls.heads.losses.examples import MISSING, WeightedLosses, one_hot, smooth, without_missing


def one_vs_rest(logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> WeightedLosses:
    """w_y · mean_c BCE(σ(z_c), t_c), weight w_y, with t the smoothed target of one label.

    The label's weight stands before the terms of all classes, as in Cui et al. 2019 (arXiv 1901.05555, section 4); the
    mean over the classes is that of torch's ``BCEWithLogitsLoss``.

    Args:
        logits: (N, classes)
        labels: (N,) int64, :data:`MISSING` where there is none.
        weights: (classes,)
        label_smoothing: share of the target that is spread over all classes.
    """
    targets = one_hot(labels, logits.shape[1], logits.dtype)
    of_labels = targets @ weights.to(logits.dtype)  # (N,)
    losses = F.binary_cross_entropy_with_logits(
        without_missing(logits, labels), smooth(targets, label_smoothing), reduction="none"
    )
    return WeightedLosses(of_labels * losses.mean(dim=1), of_labels)


def multi_label(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> WeightedLosses:
    """Σ_c w_c BCE(σ(z_c), t_c), weight Σ_c w_c, both over the targets that are there; t = (1 − s) · target + s / 2.

    Args:
        logits: (N, classes)
        targets: (N, classes): 1 where the example is of the class, 0 where it is not, :data:`MISSING` where that is
            not known. Shares between 0 and 1 are allowed.
        weights: (classes,)
        label_smoothing: share s of each target that is spread over yes and no.
    """
    known = targets != MISSING
    smoothed = targets.to(logits.dtype).masked_fill(~known, 0.0) * (1 - label_smoothing) + label_smoothing / 2
    losses = F.binary_cross_entropy_with_logits(logits.masked_fill(~known, 0.0), smoothed, reduction="none")
    of_targets = known * weights.to(logits.dtype)  # (N, classes)
    return WeightedLosses((losses * of_targets).sum(dim=1), of_targets.sum(dim=1))
