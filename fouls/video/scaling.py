"""How large pictures are when they are scaled as they are decoded (``extract --decode-resize``)."""

from __future__ import annotations


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height of a picture whose short side is brought to ``short_side``; the long one is rounded down.

    Args:
        width: pixels.
        height: pixels.
        short_side: pixels; a picture whose short side is no longer than that stays as it is. ``None``: so does any.
    """
    shorter = min(width, height)
    if short_side is None or shorter <= short_side:
        return width, height
    return width * short_side // shorter, height * short_side // shorter
