"""A seed repeats a run exactly, and nothing outside of the run is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fouls.errors import ConfigError

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def choose_device(name: str) -> torch.device:
    """``auto`` (the first GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: no such device here.
    """
    count = torch.cuda.device_count()
    wanted = ("cuda" if count else "cpu") if name == "auto" else name
    allowed = ["cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))]
    if wanted not in allowed:
        raise ConfigError(f"device {name!r} is not here; there are auto, {', '.join(allowed)}")
    return torch.device("cuda", 0) if wanted == "cuda" else torch.device(wanted)


@contextmanager
def deterministic(seed: int, device: torch.device, *, threads: int = 1) -> Iterator[None]:
    """Inside, the same seed gives the same result on the same machine; generators and flags are put back afterwards.

    On a CPU one thread does everything unless more are asked for: the steps of a head are so small that a second one
    rather holds them up where others use the cores too, and the sums then do not depend on the number of cores.
    """
    threads_before = torch.get_num_threads()
    debugging: Any = torch.utils.deterministic
    fill = debugging.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_gpu = device.type == "cuda"
    # cuBLAS is deterministic only with a workspace of its own.
    with (
        _environment(_CUBLAS_WORKSPACE, ":4096:8" if on_gpu else None),
        torch.random.fork_rng([device] if on_gpu else []),
    ):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        debugging.fill_uninitialized_memory = False  # it finds faults in kernels, and takes a tenth of a step
        if not on_gpu:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_only)
            debugging.fill_uninitialized_memory = fill
            torch.set_num_threads(threads_before)


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable where it is not set, and take it away afterwards."""
    if value is None or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
