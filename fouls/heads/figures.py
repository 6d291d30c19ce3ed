"""Pictures of a run: learning curves and confusion matrices, as PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fouls.heads.tally import EpochScores

_INK, _GREY, _GRID, _EMPTY = "#1f2933", "#7b8794", "#e4e7eb", "#f1f3f5"
_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d")
_DPI = 150
_MAX_CELL_TEXT = 30
"""More classes than this get no numbers in the cells."""
_MAX_CLASS_NAMES = 70
"""More classes than this get no names at the axes."""
_MAX_SLANTED = 20
"""More classes than this get upright names below."""
_MAX_NAME = 34
_HEADER_INCHES = 0.33


def draw_curves(history: Sequence[EpochScores], best_epoch: int | None, chance: dict[str, float], title: str) -> bytes:
    """Loss, and balanced accuracy by task, over the epochs.

    Args:
        history: what the training gave.
        best_epoch: the epoch whose weights were kept because of valid; ``None`` without valid.
        chance: task → balanced accuracy of a guess.
        title: stands above.

    Returns:
        A PNG.
    """
    lines = len(chance) * (3 if "valid/loss" in history[0] else 2)
    figure = _figure(10.5, max(4.2, 0.18 * lines + 1), title)
    left, right = figure.subplots(1, 2)
    epochs = [scores["epoch"] for scores in history]
    for axes, name in ((left, "loss"), (right, "balanced accuracy, %")):
        _clean(axes)
        axes.set_title(name, loc="left", fontsize=10, color=_INK)
        axes.set_xlabel("epoch", color=_GREY, fontsize=9)
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    _line(left, epochs, [scores["train/loss"] for scores in history], _GREY, "train", thin=True)
    if "valid/loss" in history[0]:
        _line(left, epochs, [scores["valid/loss"] for scores in history], _INK, "valid")
    for colour, (task, guess) in zip(_cycle(len(chance)), chance.items(), strict=True):
        for split, thin in (("train", True), ("valid", False)):
            column = f"{split}/{task}/balanced_accuracy"
            if column in history[0]:
                values = [100 * scores[column] for scores in history]
                _line(right, epochs, values, colour, f"{task}, {split}", thin=thin)
        right.axhline(100 * guess, color=colour, linewidth=1, linestyle=(0, (1, 3)), label=f"{task}, chance")
    right.set_ylim(0, 102)
    left.set_ylim(bottom=0)
    for axes in (left, right):
        if best_epoch is not None:
            axes.axvline(best_epoch, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    if best_epoch is not None:
        left.annotate(
            f"best: epoch {best_epoch}", (best_epoch, 1), (4, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8, color=_GREY,
        )  # fmt: skip
    left.legend(frameon=False, fontsize=8, labelcolor=_INK)
    right.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="upper left", bbox_to_anchor=(1.01, 1))
    return _png(figure)


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
    names = [textwrap.shorten(name, _MAX_NAME, placeholder="…") for name in classes]
    named = number <= _MAX_CLASS_NAMES
    margin = 0.085 * max(map(len, names)) + 0.6 if named else 0.6
    size = number * cell + margin
    figure = _figure(max(4.6, size + 1.0), size - 0.25 * margin + 1.1, title, subtitle)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    _grey_out(axes, support)
    _label_axes(axes, names if named else None, support, size=float(np.clip(cell * 16, 5, 9)))
    if number <= _MAX_CELL_TEXT:
        _write_cells(axes, counts, shares, size=float(np.clip(cell * 15, 4.5, 8.5)))
    bar = figure.colorbar(image, ax=axes, aspect=24, shrink=0.6, pad=0.02, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0", "50", "100 %"], fontsize=7, color=_GREY)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    return _png(figure)


def _grey_out(axes: Axes, support: npt.NDArray[np.int64]) -> None:
    """Rows without examples are no rows of zeros."""
    for row in np.flatnonzero(support == 0):
        axes.axhspan(row - 0.5, row + 0.5, color=_EMPTY, zorder=1.5)


def _label_axes(axes: Axes, names: Sequence[str] | None, support: npt.NDArray[np.int64], size: float) -> None:
    number = len(support)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if number <= _MAX_CELL_TEXT else 0.3, zorder=2)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted", fontsize=9, color=_GREY)
    axes.set_ylabel("true", fontsize=9, color=_GREY)
    if names is None:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    angle = 0 if max(map(len, names)) <= 3 else 40 if number <= _MAX_SLANTED else 90
    axes.set_xticks(range(number), names, fontsize=size, color=_INK, rotation=angle)
    for label in axes.get_xticklabels():
        label.set(ha="right" if angle else "center", va="center" if angle == 90 else "top", rotation_mode="anchor")
    labels = [f"{name}  ({count:,})" for name, count in zip(names, support, strict=True)]
    axes.set_yticks(range(number), labels, fontsize=size, color=_INK)


def _write_cells(axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], size: float) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.55 else _INK
            weight = "bold" if row == column else "normal"
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", fontsize=size, color=colour, fontweight=weight
            )


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str, *, thin: bool = False) -> None:
    marker = "o" if len(x) == 1 else None
    axes.plot(x, y, color=colour, linewidth=1 if thin else 2, alpha=0.55 if thin else 1, label=label, marker=marker)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=_GREY)


def _cycle(number: int) -> list[str]:
    if number <= len(_COLOURS):
        return list(_COLOURS[:number])
    wheel = colormaps["turbo"](np.linspace(0.05, 0.95, number))
    return [f"#{''.join(f'{round(255 * part):02x}' for part in colour[:3])}" for colour in wheel]


def _figure(width: float, height: float, title: str, subtitle: str | None = None) -> Figure:
    """An empty figure with room for its title; sizes in inches."""
    header = _HEADER_INCHES * (2 if subtitle else 1)
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - header / height), wspace=0.06)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    left = 0.1 / width
    figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=12, fontweight="bold", color=_INK)
    if subtitle:
        figure.text(left, 1 - 0.38 / height, subtitle, va="top", fontsize=8.5, color=_GREY)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
