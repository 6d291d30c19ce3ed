"""Reliability diagrams: whether a probability of 70 % is right 7 times of 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from fouls.heads.figures.style import AMBER, BLUE, GREY, INK, clean, new_figure, to_png


def draw_reliability(bins: Mapping[str, Sequence[float | None]], title: str, subtitle: str) -> bytes:
    """Accuracy by top probability, beside what the probabilities promise, above how many predictions there are.

    Args:
        bins: ``count``, ``confidence`` and ``accuracy`` of bins of equal width, as ``reliability`` in the scores;
            ``None`` in empty bins.
        title: first line above, bold.
        subtitle: second line.

    Returns:
        A PNG.
    """
    counts, confidence, accuracy = (
        np.array(bins[name], dtype=np.float64) for name in ("count", "confidence", "accuracy")
    )
    width = 100 / len(counts)
    centres = (np.arange(len(counts)) + 0.5) * width
    figure = new_figure(6.6, 6.4, title, subtitle)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    for axes in (above, below):
        clean(axes)
    above.bar(centres, 100 * accuracy, width=0.86 * width, color=BLUE, alpha=0.85, label="accuracy")
    sides = centres - 0.43 * width, centres + 0.43 * width
    above.hlines(100 * confidence, *sides, color=AMBER, linewidth=2.5, label="mean probability")
    above.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="calibrated")
    above.set_ylim(0, 102)
    above.set_title("right, %", loc="left", fontsize=9, color=INK)
    above.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1))
    _draw_shares(below, centres, 100 * counts / counts.sum(), width)
    return to_png(figure)


def _draw_shares(axes: Axes, centres: npt.NDArray[np.floating], shares: npt.NDArray[np.floating], width: float) -> None:
    axes.bar(centres, shares, width=0.86 * width, color=GREY, alpha=0.6)
    axes.set_title("predictions, %", loc="left", fontsize=9, color=INK)
    axes.set_xlabel("top probability, %", color=GREY, fontsize=9)
    axes.set_xlim(0, 100)
