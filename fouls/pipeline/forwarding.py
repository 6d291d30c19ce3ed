"""Batches through the backbones of one device, from several threads.

While one batch is computed the next is already there, and the features of the one before are on their way back: the
device never waits for a batch's beginning or end, be it the last of a block or not. What comes out does not depend on
any of this: every batch is computed by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fouls.pipeline.backbones.backbone import Backbone

Values = dict[str, npt.NDArray[np.float32]]
"""Pool → (B, …)."""


class Forwarding:
    """Backbones on one device, and whose turn it is.

    On a CPU the clips of two batches queue for the same threads, see :mod:`.backbones.clip_threads`: a thread that is
    done with its last clip of a batch goes on with the next batch, whose pictures are in place. Videos that stream have
    a thread each, see :mod:`.streaming`. Where operations share their threads (compiled nets), or the device computes
    one batch after the other anyway, batches take turns. On CUDA a turn ends once everything is launched; see
    :class:`_CudaStreams`.

    Args:
        backbones: all that are to be used on the device.
        streams: videos that go through a stream net side by side; ``None``: it takes clips.

    Attributes:
        free: held while it is a batch's turn, or a video's.
    """

    def __init__(self, backbones: Sequence[Backbone], *, streams: int | None = None) -> None:
        device = backbones[0].device
        clips_alone = all(backbone.clips_alone for backbone in backbones)
        self.free = threading.Semaphore(streams or (2 if clips_alone else 1))
        self._cuda = _CudaStreams(device) if device.type == "cuda" else None
        self._clock = threading.Lock()
        self._busy_until = 0.0

    def features(
        self, backbone: Backbone, pictures: npt.NDArray[np.uint8], pools: Sequence[str]
    ) -> tuple[Values, float]:
        """Push a batch through a backbone.

        Args:
            backbone: one of the device's.
            pictures: (B, T, S, S, 3); on CUDA in pinned memory, if its copying is to cost no time.
            pools: which features.

        Returns:
            The features, and the seconds for which the device was this batch's.
        """
        if self._cuda is not None:
            return self._cuda.features(backbone, pictures, pools, self.free)
        with self.free:
            arrived = time.perf_counter()
            encoded = backbone.features(backbone.normalise(torch.from_numpy(pictures)), pools)
            values = {pool: feature.cpu().numpy() for pool, feature in encoded.items()}
            return values, self._seconds_since(arrived)

    def _seconds_since(self, arrived: float) -> float:
        """Without those that another batch was there before; the sum over the batches is then the device's time."""
        with self._clock:
            now = time.perf_counter()
            seconds, self._busy_until = now - max(arrived, self._busy_until), now
        return seconds


class _CudaStreams:
    """Pictures go in and features come out on CUDA streams of their own, while all backbones compute on a third.

    A thread holds its turn only to launch a batch, and waits for its features afterwards: meanwhile the next thread's
    pictures are copied and its kernels queue. There is one stream to compute on, so that what a net keeps between two
    batches needs no ordering, and the memory of one batch's activations is enough.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._compute = torch.cuda.default_stream(device)  # where the weights were copied
        self._inward, self._outward = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def features(
        self, backbone: Backbone, pictures: npt.NDArray[np.uint8], pools: Sequence[str], turn: threading.Semaphore
    ) -> tuple[Values, float]:
        """As :meth:`Forwarding.features`."""
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with turn:
            with torch.cuda.stream(self._inward):
                batch = torch.from_numpy(pictures).to(self._device, non_blocking=True)
                arrived = self._inward.record_event()
            with torch.cuda.stream(self._compute):
                self._compute.wait_event(arrived)
                batch.record_stream(self._compute)  # its memory is not given away before the stream is done with it
                self._compute.record_event(began)
                encoded = backbone.features(backbone.normalise(batch), pools)
                self._compute.record_event(ended)
            with torch.cuda.stream(self._outward):
                self._outward.wait_event(ended)
                for feature in encoded.values():
                    feature.record_stream(self._outward)
                values = {pool: feature.to("cpu", non_blocking=True) for pool, feature in encoded.items()}  # pinned
                returned = self._outward.record_event()
        returned.synchronize()
        return {pool: value.numpy() for pool, value in values.items()}, began.elapsed_time(ended) / 1000
