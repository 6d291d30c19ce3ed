"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from fouls.heads.figures.style import GREY, INK, clean, colours, new_figure, to_png
from fouls.heads.tally import EpochScores


def draw_curves(
    history: Sequence[EpochScores], best_epoch: int | None, chance: Mapping[str, float | None], title: str
) -> bytes:
    """Loss, and by task the score that decides, over the epochs: balanced accuracy, or mean average precision.

    Args:
        history: what the training gave.
        best_epoch: the epoch whose weights were kept because of valid; ``None`` without valid.
        chance: task → balanced accuracy of a guess; ``None`` for a multi-label task.
        title: stands above.

    Returns:
        A PNG.
    """
    lines = len(chance) * (3 if "valid/loss" in history[0] else 2)
    figure = new_figure(10.5, max(4.2, 0.18 * lines + 1), title)
    left, right = figure.subplots(1, 2)
    epochs = [scores["epoch"] for scores in history]
    for axes, name in ((left, "loss"), (right, _score_title(chance))):
        clean(axes)
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("epoch", color=GREY, fontsize=9)
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    _line(left, epochs, [scores["train/loss"] for scores in history], GREY, "train", thin=True)
    if "valid/loss" in history[0]:
        _line(left, epochs, [scores["valid/loss"] for scores in history], INK, "valid")
    for colour, (task, guess) in zip(colours(len(chance)), chance.items(), strict=True):
        for split, thin in (("train", True), ("valid", False)):
            column = f"{split}/{task}/{'balanced_accuracy' if guess is not None else 'mean_average_precision'}"
            if column in history[0]:
                values = [100 * scores[column] for scores in history]
                _line(right, epochs, values, colour, f"{task}, {split}", thin=thin)
        if guess is not None:
            right.axhline(100 * guess, color=colour, linewidth=1, linestyle=(0, (1, 3)), label=f"{task}, chance")
    right.set_ylim(0, 102)
    left.set_ylim(bottom=0)
    for axes in (left, right):
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    if best_epoch is not None:
        left.annotate(
            f"best: epoch {best_epoch}", (best_epoch, 1), (4, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8, color=GREY,
        )  # fmt: skip
    left.legend(frameon=False, fontsize=8, labelcolor=INK)
    right.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1))
    return to_png(figure)


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str, *, thin: bool = False) -> None:
    marker = "o" if len(x) == 1 else None
    axes.plot(x, y, color=colour, linewidth=1 if thin else 2, alpha=0.55 if thin else 1, label=label, marker=marker)


def _score_title(chance: Mapping[str, float | None]) -> str:
    kinds = {guess is None for guess in chance.values()}
    names = [name for is_multi_label, name in ((False, "balanced accuracy"), (True, "mAP")) if is_multi_label in kinds]
    return f"{' and '.join(names)}, %"
