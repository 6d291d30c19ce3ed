"""F1 of every class, with what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from fouls.heads.figures.style import AMBER, BLUE, GREY, INK, clean, new_figure, shortened, to_png

_MAX_CLASS_NAMES = 70
"""More classes than this are drawn as one curve, from the best class to the worst."""


def draw_class_f1(
    per_class: Mapping[str, Sequence[float | None]], classes: Sequence[str], title: str, subtitle: str
) -> bytes:
    """A bar a class for F1, with marks for precision and recall, and a line for the mean.

    Args:
        per_class: ``f1``, ``precision``, ``recall`` and ``support``, as ``per_class`` in the scores; ``None`` where
            there is nothing to divide by.
        classes: names.
        title: first line above, bold.
        subtitle: second line.

    Returns:
        A PNG.
    """
    f1, precision, recall, support = (
        np.array(per_class[name], dtype=np.float64) for name in ("f1", "precision", "recall", "support")
    )
    macro_f1 = 100 * float(np.nanmean(f1))
    if len(classes) > _MAX_CLASS_NAMES:
        figure = new_figure(8, 4.2, title, subtitle)
        axes = figure.add_subplot()
        _draw_ranked(axes, 100 * f1, macro_f1)
        return to_png(figure)
    number = len(classes)
    figure = new_figure(7.5, 1.5 + 0.27 * number, title, subtitle)
    axes = figure.add_subplot()
    clean(axes, grid="x")
    rows = np.arange(number)
    axes.barh(rows, np.nan_to_num(100 * f1), height=0.66, color=BLUE, alpha=0.85, label="F1")
    axes.scatter(100 * precision, rows, marker="|", s=70, color=AMBER, linewidths=2, label="precision", zorder=3)
    axes.scatter(100 * recall, rows, marker="o", s=16, color=INK, label="recall", zorder=3, linewidths=0)
    axes.axvline(macro_f1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label=f"macro F1 {macro_f1:.1f} %")
    _label_rows(axes, f1, support, shortened(classes))
    axes.set_xlim(0, 102)
    axes.set_xlabel("%", color=GREY, fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[-1:] + handles[:-1], labels[-1:] + labels[:-1], frameon=False, fontsize=8, labelcolor=INK,
        loc="upper left", bbox_to_anchor=(1.01, 1),
    )  # fmt: skip
    return to_png(figure)


def _label_rows(
    axes: Axes, f1: npt.NDArray[np.float64], support: npt.NDArray[np.float64], names: Sequence[str]
) -> None:
    labels = [f"{name}  ({count:,.0f})" for name, count in zip(names, support, strict=True)]
    axes.set_yticks(range(len(labels)), labels, fontsize=8, color=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    for row, (score, count) in enumerate(zip(f1, support, strict=True)):
        if np.isnan(score):
            axes.text(1.5, row, "neither there nor predicted", va="center", fontsize=7, color=GREY)
        elif not count:
            axes.text(1.5, row, "not there, but predicted", va="center", fontsize=7, color=GREY)


def _draw_ranked(axes: Axes, f1: npt.NDArray[np.float64], macro_f1: float) -> None:
    ranked = np.sort(f1[~np.isnan(f1)])[::-1]
    clean(axes)
    axes.fill_between(np.arange(1, len(ranked) + 1), ranked, step="mid", color=BLUE, alpha=0.85, linewidth=0)
    axes.axhline(macro_f1, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"macro F1 {macro_f1:.1f} %", (1, macro_f1), (-2, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", fontsize=8, color=GREY,
    )  # fmt: skip
    axes.set_title("F1, %", loc="left", fontsize=9, color=INK)
    axes.set_xlabel("classes, from the best to the worst", color=GREY, fontsize=9)
    axes.set_xlim(0.5, len(ranked) + 0.5)
    axes.set_ylim(0, 102)
