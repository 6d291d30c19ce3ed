"""What a sweep found: the score along one option, a line for each combination of the others; or all in order."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from fouls.heads.figures.style import BLUE, GREY, INK, clean, colours, new_figure, to_png

_SEED, _LR = "train.seed", "train.lr"
_MAX_LINES, _MAX_DOTS = 8, 40
_MAX_TICKS = 10
_MAX_NAME = 64
_LOG_FROM = 20
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One configuration."""

    varied: Mapping[str, Any]
    """Option → value; ``None`` where it has none."""
    name: str
    """What it has of its own, for people."""
    score: float | None
    """From 0 to 1; ``None`` where it failed."""


def draw_sweep(points: Sequence[SweepPoint], best: int, metric: str, chance: float | None, title: str) -> bytes:
    """Draw all configurations of a sweep.

    Along the horizontal axis is the learning rate, or else the number of which there are most values. Lines go through
    the means over seeds, whose single scores are dots. Where there is no such number, or there are too many lines, all
    configurations stand below each other, the best first.

    Args:
        points: the configurations; one at least has a score.
        best: the position of the best.
        metric: what the score is.
        chance: that of a guess; ``None``: unknown.
        title: stands above.

    Returns:
        A PNG.
    """
    axis = choose_axis(points)
    if axis is None:
        return _draw_dots(points, best, metric, chance, title)
    lines: dict[tuple[Any, ...], list[SweepPoint]] = {}
    others = [name for name in points[0].varied if name not in (axis, _SEED)]
    for point in points:
        lines.setdefault(tuple(point.varied[name] for name in others), []).append(point)
    means = "; lines: means over seeds" if len({point.varied.get(_SEED) for point in points}) > 1 else ""
    figure = new_figure(8.5, max(4.4, 0.2 * len(lines) + 2.2), title, _best_line(points[best]) + means)
    axes = figure.subplots()
    clean(axes)
    for colour, (values, of_line) in zip(colours(len(lines)), lines.items(), strict=True):
        label = ", ".join(f"{name.split('.')[-1]} {_text(value)}" for name, value in zip(others, values, strict=True))
        _draw_line(axes, axis, of_line, colour, label)
    _mark(axes, points[best], axis, chance)
    _scale(axes, sorted({point.varied[axis] for point in points}))
    axes.set_xlabel(axis, color=GREY, fontsize=9)
    axes.set_title(f"{metric} on valid, %", loc="left", fontsize=10, color=INK)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1))
    return to_png(figure)


def choose_axis(points: Sequence[SweepPoint]) -> str | None:
    """The option that stands along the horizontal axis; ``None`` where no picture of lines can be drawn."""
    counts: dict[str, int] = {}
    for name in points[0].varied:
        values = [point.varied[name] for point in points]
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if name != _SEED and numeric and len(set(values)) > 1:
            counts[name] = len(set(values))
    if not counts:
        return None
    axis = _LR if _LR in counts else max(counts, key=lambda name: counts[name])
    rest = {tuple(_text(point.varied[name]) for name in point.varied if name not in (axis, _SEED)) for point in points}
    return axis if len(rest) <= min(_MAX_LINES, len(points) // 2) else None


def _draw_line(axes: Axes, axis: str, points: Sequence[SweepPoint], colour: str, label: str) -> None:
    by_value: dict[float, list[float]] = {}
    for point in points:
        if point.score is not None:
            by_value.setdefault(point.varied[axis], []).append(100 * point.score)
    found = sorted(by_value)
    means = [sum(by_value[value]) / len(by_value[value]) for value in found]
    axes.plot(found, means, color=colour, linewidth=2, marker="o", markersize=4, label=label or None)
    if any(len(scores) > 1 for scores in by_value.values()):
        singles = [(value, score) for value, scores in by_value.items() for score in scores]
        x, y = zip(*singles, strict=True)
        axes.scatter(x, y, color=colour, s=9, alpha=0.45, linewidths=0)
    failed = [point.varied[axis] for point in points if point.score is None]
    if failed:
        bottom = axes.get_xaxis_transform()
        axes.plot(failed, [0.02] * len(failed), "x", color=colour, transform=bottom, label=f"{label} failed".strip())


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis for values that span much; the ticks are the values, or some of them."""
    if values[0] > 0 and values[-1] / values[0] >= _LOG_FROM:
        axes.set_xscale("log")
    ticks = values[:: -(-len(values) // _MAX_TICKS)]
    axes.set_xticks(ticks, [f"{value:.3g}" for value in ticks])
    axes.set_xticks([], minor=True)


def _mark(axes: Axes, best: SweepPoint, axis: str, chance: float | None) -> None:
    assert best.score is not None
    ring = {"s": 110, "facecolors": "none", "edgecolors": INK, "linewidths": 1.3, "zorder": 4}
    axes.scatter([best.varied[axis]], [100 * best.score], **ring)  # type: ignore[arg-type]
    if chance is not None:
        axes.axhline(100 * chance, color=GREY, linewidth=1, linestyle=(0, (1, 3)), label="chance")


def _draw_dots(points: Sequence[SweepPoint], best: int, metric: str, chance: float | None, title: str) -> bytes:
    order = sorted(range(len(points)), key=lambda place: (place != best, -_known(points[place])))[:_MAX_DOTS]
    shown = [points[place] for place in order]
    figure = new_figure(8.5, 0.22 * len(shown) + 1.6, title, _best_line(points[best]))
    axes = figure.subplots()
    clean(axes, grid="x")
    for row, point in enumerate(shown):
        if point.score is None:
            axes.plot([0.01], [row], "x", color=GREY, transform=axes.get_yaxis_transform())
        else:
            axes.plot([100 * point.score], [row], "o", color=BLUE if row == 0 else GREY, markersize=6)
    names = [textwrap.shorten(point.name, _MAX_NAME, placeholder="…") for point in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    if chance is not None:
        axes.axvline(100 * chance, color=GREY, linewidth=1, linestyle=(0, (1, 3)), label="chance")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower left")
    count = f", the best {len(shown)} of {len(points)}" if len(shown) < len(points) else ""
    failed = "; × failed" if any(point.score is None for point in shown) else ""
    axes.set_title(f"{metric} on valid, %{count}{failed}", loc="left", fontsize=10, color=INK)
    return to_png(figure)


def _best_line(best: SweepPoint) -> str:
    return f"best: {best.name}  ·  {100 * _known(best):.1f} %"


def _known(point: SweepPoint) -> float:
    return -1.0 if point.score is None else point.score


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
