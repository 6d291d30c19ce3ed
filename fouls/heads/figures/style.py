"""What all pictures share: colours, a figure with its title, axes without ornaments, PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

INK, GREY, GRID, EMPTY = "#1f2933", "#7b8794", "#e4e7eb", "#f1f3f5"
BLUE, AMBER = "#2563eb", "#d97706"
_COLOURS = (BLUE, AMBER, "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d")
_DPI = 150
_MAX_NAME = 34
_HEADER_INCHES = 0.33


def colours(number: int) -> list[str]:
    """As many colours that can be told apart, as far as there are."""
    if number <= len(_COLOURS):
        return list(_COLOURS[:number])
    wheel = colormaps["turbo"](np.linspace(0.05, 0.95, number))
    return [f"#{''.join(f'{round(255 * part):02x}' for part in colour[:3])}" for colour in wheel]


def shortened(names: Sequence[str]) -> list[str]:
    """Names of classes that fit beside an axis."""
    return [textwrap.shorten(name, _MAX_NAME, placeholder="…") for name in names]


def new_figure(width: float, height: float, title: str, subtitle: str | None = None) -> Figure:
    """An empty figure with room for its title; sizes in inches."""
    header = _HEADER_INCHES * (2 if subtitle else 1)
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - header / height), wspace=0.06)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    left = 0.1 / width
    figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=12, fontweight="bold", color=INK)
    if subtitle:
        figure.text(left, 1 - 0.38 / height, subtitle, va="top", fontsize=8.5, color=GREY)
    return figure


def clean(axes: Axes, grid: str = "y") -> None:
    """Axes with one line below and a light grid along ``x`` or ``y``."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="x" if grid == "x" else "y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=GREY)


def to_png(figure: Figure) -> bytes:
    """The finished picture. Names are what they are: a dollar sign in one begins no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
