"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from fouls.heads.figures.style import EMPTY, GREY, INK, new_figure, shortened, to_png

_MAX_CELL_TEXT = 30
"""More classes than this get no numbers in the cells."""
_MAX_CLASS_NAMES = 70
"""More classes than this get no names at the axes."""
_MAX_SLANTED = 20
"""More classes than this get upright names below."""


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, subtitle: str) -> bytes:
    """A confusion matrix: a row a true class, shaded by its share of the row; counts in the cells.

    Args:
        confusion: (classes, classes) counts; rows are labels, columns predictions.
        classes: names.
        title: first line above, bold.
        subtitle: second line.

    Returns:
        A PNG.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    support = counts.sum(axis=1)
    shares = np.divide(counts, support[:, None], out=np.zeros(counts.shape), where=support[:, None] > 0)
    number = len(classes)
    cell = float(np.clip(9 / number, 0.11 if number <= _MAX_CLASS_NAMES else 0, 0.62))  # inches
    names = shortened(classes)
    named = number <= _MAX_CLASS_NAMES
    margin = 0.085 * max(map(len, names)) + 0.6 if named else 0.6
    size = number * cell + margin
    figure = new_figure(max(4.6, size + 1.0), size - 0.25 * margin + 1.1, title, subtitle)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    _grey_out(axes, support)
    _label_axes(axes, names if named else None, support, size=float(np.clip(cell * 16, 5, 9)))
    if number <= _MAX_CELL_TEXT:
        _write_cells(axes, counts, shares, size=float(np.clip(cell * 15, 4.5, 8.5)))
    bar = figure.colorbar(image, ax=axes, aspect=24, shrink=0.6, pad=0.02, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0", "50", "100 %"], fontsize=7, color=GREY)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    return to_png(figure)


def _grey_out(axes: Axes, support: npt.NDArray[np.int64]) -> None:
    """Rows without examples are no rows of zeros."""
    for row in np.flatnonzero(support == 0):
        axes.axhspan(row - 0.5, row + 0.5, color=EMPTY, zorder=1.5)


def _label_axes(axes: Axes, names: Sequence[str] | None, support: npt.NDArray[np.int64], size: float) -> None:
    number = len(support)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if number <= _MAX_CELL_TEXT else 0.3, zorder=2)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted", fontsize=9, color=GREY)
    axes.set_ylabel("true", fontsize=9, color=GREY)
    if names is None:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    angle = 0 if max(map(len, names)) <= 3 else 40 if number <= _MAX_SLANTED else 90
    axes.set_xticks(range(number), names, fontsize=size, color=INK, rotation=angle)
    for label in axes.get_xticklabels():
        label.set(ha="right" if angle else "center", va="center" if angle == 90 else "top", rotation_mode="anchor")
    labels = [f"{name}  ({count:,})" for name, count in zip(names, support, strict=True)]
    axes.set_yticks(range(number), labels, fontsize=size, color=INK)


def _write_cells(axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], size: float) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.55 else INK
            weight = "bold" if row == column else "normal"
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", fontsize=size, color=colour, fontweight=weight
            )
