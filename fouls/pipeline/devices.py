"""Which devices there are, and what fits them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from fouls.cache.spec import Precision
from fouls.errors import ExecutorError
from fouls.pipeline.options import ExecutorOptions
from fouls.processor import cpu_multiplies_bf16


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an extraction runs."""

    device: str
    """Of every backbone, as its process sees it: ``cpu``, ``cuda``, ``cuda:1``."""
    workers: int = 0
    """Dask worker processes to start here; 0: the blocks run in this process."""
    gpus: tuple[str, ...] = ()
    """Device of each worker, as ``CUDA_VISIBLE_DEVICES`` names it."""
    scheduler: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether Dask runs the blocks."""
        return self.workers > 0 or self.scheduler is not None

    @property
    def engines(self) -> int:
        """Processes with a backbone on this machine."""
        return max(1, self.workers)


def place(options: ExecutorOptions) -> Placement:
    """Decide where to run: every GPU that is there, else the CPU, unless told otherwise.

    Raises:
        ExecutorError: more GPUs are asked for than there are, or a device that isn't there.
    """
    visible = visible_gpus()
    if options.scheduler is not None:
        device = options.device or ("cuda" if visible else "cpu")
        return Placement(device=device, scheduler=options.scheduler)
    if options.workers is not None:
        return Placement(device="cpu", workers=options.workers if options.workers > 1 else 0)
    if options.device is not None:
        _check_device(options.device, len(visible))
        return Placement(device=options.device)
    count = len(visible) if options.gpus is None else options.gpus
    if count > len(visible):
        raise ExecutorError(
            f"--gpus {count}: this machine has {len(visible)} that torch can use; "
            "ask for fewer, or use --workers N to run on CPUs"
        )
    if count == 0:
        return Placement(device="cpu")
    return Placement(device="cuda", workers=count if count > 1 else 0, gpus=visible[:count])


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(str(index) for index in range(count))


def default_precision(device: str) -> Precision:
    """bf16 on GPUs and CPUs that multiply it natively, fp32 elsewhere."""
    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == "cpu" and cpu_multiplies_bf16()
    return "bf16" if native else "fp32"


def default_batch_size(device: str, engines: int = 1) -> int:
    """Clips in a forward pass: enough to fill a GPU; on a CPU a clip for each thread of an engine."""
    return 32 if device.startswith("cuda") else max(4, torch.get_num_threads() // engines)


def default_decode_workers(device: str, engines: int) -> int:
    """Decoding processes an engine.

    On a GPU all cores but one, which the process with the backbone needs. On a CPU all: a backbone that waits for
    frames leaves its cores to decoding, and one that does not keeps most of them, since no more than some batches are
    decoded ahead.
    """
    cores = max(1, usable_cores() // engines)
    return max(1, cores - 1) if device.startswith("cuda") else cores


def usable_cores() -> int:
    """Cores that this process may use: a cluster's job has some of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_device(device: str, gpus: int) -> None:
    try:
        kind, index = torch.device(device).type, torch.device(device).index
    except RuntimeError:
        raise ExecutorError(f"--device is {device!r}; allowed: cpu, cuda, cuda:N, mps") from None
    if kind == "cuda" and (index or 0) >= gpus:
        raise ExecutorError(f"--device {device}: this machine has {gpus} GPUs that torch can use; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ExecutorError("--device mps: torch can't use one here; use --device cpu")
