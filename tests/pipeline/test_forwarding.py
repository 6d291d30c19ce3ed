"""Who is on the device when: nothing waits for a batch's end, and nothing that shares its threads runs side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from fouls.cache.blocks import BlockWriter
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.backbones.clip_threads import for_each_clip
from fouls.pipeline.backbones.loading import load_backbone
from fouls.pipeline.forwarding import Forwarding, _CudaStreams

from .conftest import NUM_VIDEOS, Project

WAIT_SECONDS = 30.0


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def backbone(project: Project) -> Backbone:
    return load_backbone("videomae", weights=str(project.weights))


def pictures_of(backbone: Backbone, seed: int, num_clips: int = 2) -> Any:
    size = backbone.preprocessing.crop
    shape = (num_clips, backbone.num_frames, size, size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_two_batches_are_on_the_cpu_at_once(
    backbone: Backbone, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the features are those of each alone."""
    batches = [pictures_of(backbone, seed) for seed in range(4)]
    expected = [backbone.encode(batch)["mean"].numpy() for batch in batches]
    met = threading.Barrier(2)
    normalise = backbone.normalise

    def meet(batch: torch.Tensor) -> torch.Tensor:
        met.wait(WAIT_SECONDS)  # each needs another one that has come as far
        return normalise(batch)

    monkeypatch.setattr(backbone, "normalise", meet)
    forwarding = Forwarding([backbone])
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda batch: forwarding.features(backbone, batch, ["mean"])[0]["mean"], batches))
    for values, alone in zip(done, expected, strict=True):
        np.testing.assert_array_equal(values, alone)


def test_what_shares_its_threads_takes_turns(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone.compiled = True
    spans: list[tuple[float, float]] = []
    normalise = backbone.normalise

    def note(batch: torch.Tensor) -> torch.Tensor:
        began = time.perf_counter()
        time.sleep(0.02)
        found = normalise(batch)
        spans.append((began, time.perf_counter()))
        return found

    monkeypatch.setattr(backbone, "normalise", note)
    forwarding, batch = Forwarding([backbone]), pictures_of(backbone, 0)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: forwarding.features(backbone, batch, ["mean"]), range(3)))
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))


def test_seconds_are_those_of_the_device(
    backbone: Backbone, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that are there together share their time out: the sum is no more than went by."""
    normalise = backbone.normalise

    def slowly(batch: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return normalise(batch)

    monkeypatch.setattr(backbone, "normalise", slowly)
    forwarding, batch = Forwarding([backbone]), pictures_of(backbone, 0)
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        seconds = list(threads.map(lambda _: forwarding.features(backbone, batch, ["mean"])[1], range(4)))
    passed = time.perf_counter() - started
    assert 0.2 <= sum(seconds) <= passed  # two rounds of two; 0.4 if each counted what it saw


def test_single_clips_have_all_threads_one_after_the_other(two_threads: None) -> None:
    at_work, most = 0, 0

    def compute(clip: torch.Tensor) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        time.sleep(0.02)
        at_work -= 1

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: for_each_clip(compute, torch.zeros(1, 1)), range(3)))
    assert most == 1


def test_the_device_goes_on_while_a_block_is_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block's write ends only after batches of two others have been in the backbone."""
    commit, features = BlockWriter.commit, Forwarding.features
    written, batches_since, moved_on = [], [], threading.Event()

    def write(self: BlockWriter, *args: Any) -> Any:
        written.append(args[1].block)
        if len(written) == 1:
            assert moved_on.wait(WAIT_SECONDS), "the device waited for the write"
        return commit(self, *args)

    def forward(self: Forwarding, *args: Any) -> Any:
        if written:
            batches_since.append(None)
        found = features(self, *args)
        if len(batches_since) > 2:
            moved_on.set()
        return found

    monkeypatch.setattr(BlockWriter, "commit", write)
    monkeypatch.setattr(Forwarding, "features", forward)
    assert project.extract(block_rows=2, batch_size=2).summary.done == NUM_VIDEOS
    assert moved_on.is_set()


def test_pictures_of_rows_that_are_not_done_are_zeros(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is the same rows at the same places, whichever of them there are to do."""
    (project.videos / "v1.mp4").unlink()
    seen: list[Any] = []
    features: Callable[..., Any] = Forwarding.features

    def forward(self: Forwarding, backbone: Backbone, pictures: Any, pools: Any) -> Any:
        seen.append(pictures.copy())
        return features(self, backbone, pictures, pools)

    monkeypatch.setattr(Forwarding, "features", forward)
    assert project.extract(limit=4, block_rows=4, batch_size=4).summary.failed == 1
    (batch,) = seen
    assert [bool(clip.any()) for clip in batch] == [True, False, True, True]


class Recorder:
    """Stands in for CUDA's streams and events, and notes what is asked of them, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.on_wait: Callable[[], None] = lambda: None
        names = iter(["in", "out"])
        monkeypatch.setattr(torch.cuda, "default_stream", lambda device: _Stream("compute", self))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: _Stream(next(names), self))
        monkeypatch.setattr(torch.cuda, "Event", lambda **options: _Event(self))
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        keep = lambda tensor, stream: self.log.append(f"kept for {stream.name}")  # noqa: E731
        monkeypatch.setattr(torch.Tensor, "record_stream", keep)


class _Stream:
    def __init__(self, name: str, recorder: Recorder) -> None:
        self.name, self._recorder = name, recorder

    def record_event(self, event: _Event | None = None) -> _Event:
        event = event or _Event(self._recorder)
        event.stream = self.name
        return event

    def wait_event(self, event: _Event) -> None:
        self._recorder.log.append(f"{self.name} waits for {event.stream}")


class _Event:
    stream = ""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def synchronize(self) -> None:
        self._recorder.on_wait()
        self._recorder.log.append(f"thread waits for {self.stream}")

    def elapsed_time(self, other: _Event) -> float:
        assert (self.stream, other.stream) == ("compute", "compute")
        return 12.0


def test_a_gpu_copies_computes_and_returns_in_order(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU, what it would be told: and that the next batch may come while this thread waits."""
    recorder = Recorder(monkeypatch)
    forwarding, batch = Forwarding([backbone]), pictures_of(backbone, 0)
    forwarding.free = threading.Semaphore(1)
    forwarding._cuda = _CudaStreams(torch.device("cpu"))
    computed = backbone.features
    monkeypatch.setattr(backbone, "features", lambda *args: recorder.log.append("computed") or computed(*args))
    free = []
    recorder.on_wait = lambda: free.append(forwarding.free.acquire(blocking=False))
    values, seconds = forwarding.features(backbone, batch, ["mean"])
    np.testing.assert_array_equal(values["mean"], backbone.encode(batch)["mean"].numpy())
    assert seconds == 0.012
    assert free == [True]
    steps = ["compute waits for in", "kept for compute", "computed", "out waits for compute", "kept for out"]
    assert recorder.log[: len(steps) + 1] == [*steps, "thread waits for out"]
