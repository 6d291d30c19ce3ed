"""What is the same for every video of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fouls.cache.spec import SamplingSpec
from fouls.cache.store import Store
from fouls.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How features follow time, in native frames; see :func:`steps_of`."""

    stride_frames: float
    """From the first frame of a step to that of the next."""
    span_frames: float
    """From the first frame of a step to the one after its last."""
    steps_a_row: int
    """Steps in one row of the store."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Where the features of an export come from."""

    store: Store
    pool: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.store.pools[self.pool]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "pool": self.pool,
            "shape": list(self.shape),
            "fingerprint": self.store.fingerprint,
            "spec": self.store.spec.to_dict(),
        }

    def steps(self) -> Steps:
        """How the features follow time.

        Raises:
            ExportError: they don't, or not at one pace.
        """
        sampling = self.store.spec.sampling
        if self.pool == "temporal":
            return _steps_within(sampling, self.shape[0])
        if len(self.shape) != 1:
            shape = " × ".join(map(str, self.shape))
            raise ExportError(
                f"pool {self.pool!r} has {shape} values a clip; needed is one vector: mean, cls, temporal"
            )
        return steps_of(sampling)


def steps_of(sampling: SamplingSpec) -> Steps:
    """How one vector a clip follows time.

    Raises:
        ExportError: the clips have no common stride.
    """
    if sampling.kind not in ("dense", "stream") or sampling.hop is None:
        raise ExportError(
            f"sampling {sampling.kind!r} has no stride in time: extract with --sampling dense, or a stream net"
        )
    span = (sampling.num_frames - 1) * (sampling.frame_stride or 1) + 1
    return Steps(
        stride_frames=sampling.hop,
        span_frames=sampling.hop if sampling.kind == "stream" else span,
        steps_a_row=1,
    )


def _steps_within(sampling: SamplingSpec, num_steps: int) -> Steps:
    """How the steps within clips follow time: at one pace only where clip follows clip without a gap or an overlap."""
    clip = steps_of(sampling)
    covered = sampling.num_frames * (sampling.frame_stride or 1)
    if clip.stride_frames != covered:
        raise ExportError(
            f"pool 'temporal' has steps at one pace only where clips follow each other without a gap: --hop {covered}, "
            f"not {clip.stride_frames:g}; pool 'mean' does without"
        )
    step = covered / num_steps
    return Steps(stride_frames=step, span_frames=step, steps_a_row=num_steps)
