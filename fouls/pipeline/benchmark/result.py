"""What was measured, and what follows from it: the limit that the parts set, the bottleneck, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fouls.cache.spec import Precision
from fouls.pipeline.benchmark.limit import least_seconds
from fouls.pipeline.benchmark.stages import Decoding
from fouls.pipeline.benchmark.timing import Timing

GOOD_SHARE_OF_LIMIT = 0.9
"""The stages run at once well enough."""
GOOD_SHARE_OF_PEAK = 0.4
"""The device is busy with what it is good at."""
_NOTHING = "nothing"
"""Begins what is said where nothing is to be changed."""


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One backbone on one device: each stage alone, and the whole of an extraction."""

    backbone: str
    device: str
    precision: Precision
    fast_precision: bool
    """Whether the device has no faster precision."""
    batch_size: int
    cores: int
    """That this process may use."""
    decoding: Decoding
    forward: Timing
    writing: Timing
    extract: Timing
    multiply_adds: int | None
    """Of a clip's forward pass; ``None``: not known, for stream nets, whose clips go on, among others."""
    peak_flops: float
    """Operations a second of a large matrix product in the same precision; two for each multiply-add."""
    compile_seconds: float | None
    """What the first batch took, which compiles; ``None``: nothing is compiled."""

    @property
    def on_gpu(self) -> bool:
        """Whether decoding and the backbone have a device each."""
        return self.device != "cpu"

    @property
    def shares(self) -> dict[str, float]:
        """Stage → the least seconds that it costs an extraction for each clip.

        On a GPU a stage costs what it takes alone. On a CPU the stages share the cores: decoding and preprocessing cost
        their core-seconds by the number of cores.
        """
        decoding = self.decoding
        both = decoding.together.seconds_a_clip if self.on_gpu else decoding.cost("cores") / self.cores
        reading = decoding.cost("read") / (decoding.cost("read") + decoding.cost("preprocess"))
        return {
            "decoding": both * reading,
            "preprocessing": both * (1 - reading),
            "forward": self.forward.seconds_a_clip,
            "writing": self.writing.seconds_a_clip,
        }

    @property
    def limit(self) -> float:
        """Clips a second that the whole can't exceed: see :func:`~fouls.pipeline.benchmark.limit.least_seconds`."""
        shares = self.shares
        return 1 / least_seconds(
            forward=shares["forward"],
            decoding=shares["decoding"] + shares["preprocessing"],
            writing=shares["writing"],
            on_gpu=self.on_gpu,
        )

    @property
    def of_limit(self) -> float:
        """The whole by its limit."""
        return self.extract.clips_per_second / self.limit

    @property
    def of_forward(self) -> float:
        """The whole by the forward pass alone."""
        return self.extract.clips_per_second / self.forward.clips_per_second

    @property
    def flops(self) -> float | None:
        """Operations a second of the forward pass alone."""
        return None if self.multiply_adds is None else 2 * self.multiply_adds * self.forward.clips_per_second

    @property
    def of_peak(self) -> float | None:
        """That, by the peak."""
        return None if self.flops is None else self.flops / self.peak_flops

    @property
    def decoding_cores(self) -> float:
        """Cores that decode and preprocess as fast as the forward pass alone computes."""
        return self.decoding.cost("cores") / self.forward.seconds_a_clip

    @property
    def bottleneck(self) -> str:
        """The stage that costs most; of decoding and preprocessing, which the same processes do, the dearer one."""
        shares = self.shares
        by_process = {
            "forward": shares["forward"],
            "writing": shares["writing"],
            max("decoding", "preprocessing", key=shares.__getitem__): shares["decoding"] + shares["preprocessing"],
        }
        return max(by_process, key=by_process.__getitem__)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to change, a sentence each; that nothing is to be changed."""
        of_stage = _ADVICE[self.bottleneck](self)
        if self.of_limit >= GOOD_SHARE_OF_LIMIT:
            return (of_stage,)
        waiting = (
            f"the whole reaches {self.of_limit:.0%} of what its parts allow: try more or fewer --decode-workers "
            f"than {self.decoding.workers}, and see that nothing else runs on this machine"
        )
        return (waiting,) if of_stage.startswith(_NOTHING) else (of_stage, waiting)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        stages = {
            "decoding": self.decoding.alone("read"),
            "preprocessing": self.decoding.alone("preprocess"),
            "forward": self.forward,
            "writing": self.writing,
            "extract": self.extract,
        }
        return {
            "backbone": self.backbone,
            "device": self.device,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "cores": self.cores,
            "decode_workers": self.decoding.workers,
            "clips": self.extract.num_clips,
            "repeats": len(self.extract.seconds),
            "stages": {name: timing.to_dict() for name, timing in stages.items()},
            "decoding_core_seconds_a_clip": self.decoding.cost("cores"),
            "decoding_cores": self.decoding_cores,
            "limit_clips_per_second": self.limit,
            "of_limit": self.of_limit,
            "of_forward": self.of_forward,
            "multiply_adds": self.multiply_adds,
            "flops_per_second": self.flops,
            "peak_flops_per_second": self.peak_flops,
            "of_peak": self.of_peak,
            "compile_seconds": self.compile_seconds,
            "bottleneck": self.bottleneck,
            "advice": list(self.advice),
        }


def _advise_forward(result: BenchResult) -> str:
    if not result.fast_precision:
        return "--precision bf16: this device multiplies it faster"
    if result.of_peak is not None and result.of_peak < GOOD_SHARE_OF_PEAK and result.on_gpu:
        return f"a larger --batch-size than {result.batch_size}, or --compile: the device is not busy"
    if result.on_gpu:
        return f"{_NOTHING}: the backbone keeps the device busy; more GPUs share the work with --gpus"
    return f"{_NOTHING}: the backbone keeps the cores busy; a GPU or more machines (--scheduler) would do more"


def _advise_decoding(result: BenchResult) -> str:
    useful = result.cores - 1 if result.on_gpu else result.cores  # one is for the thread that feeds the GPU
    if result.decoding.workers < useful:
        return f"--decode-workers {useful}: {result.decoding.workers} of {result.cores} cores decode"
    return "videos of a smaller size or with fewer frames between key frames; or more cores: all of them decode"


def _advise_preprocessing(result: BenchResult) -> str:
    return "videos stored at the size that the backbone sees; or, for pictures of 4K, --decode-resize (moves features)"


def _advise_writing(result: BenchResult) -> str:
    return "a faster disk for --out, or pools with fewer values"


_ADVICE = {
    "forward": _advise_forward,
    "decoding": _advise_decoding,
    "preprocessing": _advise_preprocessing,
    "writing": _advise_writing,
}
