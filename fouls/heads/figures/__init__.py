"""Pictures of a run, one a file, as PNG."""

from fouls.heads.figures.class_f1 import draw_class_f1
from fouls.heads.figures.confusion import draw_confusion
from fouls.heads.figures.curves import draw_curves
from fouls.heads.figures.reliability import draw_reliability
from fouls.heads.figures.sweep import draw_sweep

__all__ = ["draw_class_f1", "draw_confusion", "draw_curves", "draw_reliability", "draw_sweep"]
