"""How fast an extraction can be at most, from what its stages take alone."""

from __future__ import annotations


def least_seconds(*, forward: float, decoding: float, writing: float = 0.0, on_gpu: bool) -> float:
    """What stages that all run at once take together, when none ever waits.

    On a GPU each has a device of its own, and the slowest decides. On a CPU decoding and the backbone share the cores;
    writing a CPU's features costs next to nothing.

    Args:
        forward: seconds of the forward passes.
        decoding: seconds of decoding and preprocessing: by all their processes on a GPU, with all cores on a CPU.
        writing: seconds.
        on_gpu: whether the forward passes have a device of their own.
    """
    return max(forward, decoding, writing) if on_gpu else forward + decoding
