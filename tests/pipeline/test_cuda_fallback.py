"""What a GPU's decoder does not take is PyAV's, and the ledger says so for each row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fouls.cache.failures import failures
from fouls.errors import ConfigError
from fouls.pipeline.engine import Engine, Member
from fouls.pipeline.extract import make_groups, write_plan
from fouls.pipeline.options import ExecutorOptions, SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.pipeline.work import find_work
from fouls.video.decoders import DECODERS
from fouls.video.isolation import IsolatedPool
from fouls.video.pyav_reader import PyavReader
from fouls.video.trust import DistrustError

from .conftest import Project
from .test_cutting import break_from_last_key_frame


class StandIn(PyavReader):
    """Stands in for a GPU: it refuses what a GPU may, and in the way in which ``CudaReader`` does."""

    def __init__(self, path: str, short_side: int | None = None) -> None:
        super().__init__(path, short_side)
        self.decoder = "cuda"
        if Path(path).stem == "v3":
            raise DistrustError(self.decoder, "does not take it ([CUDA] Fallback status: … Video not supported)")


def call_with_stand_in(function: Callable[..., Any], *args: Any) -> Any:
    """In the decoding process."""
    DECODERS["cuda"] = StandIn
    return function(*args)


class StandInPool(IsolatedPool):
    """Decoding processes of a machine whose GPU is a stand-in."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert not kwargs
        return super().submit(call_with_stand_in, function, *args)


def test_each_row_has_the_decoder_that_it_is_from(project: Project) -> None:
    """v3 is not taken; v5 is torn, so that both decoders fail at its last frames."""
    break_from_last_key_frame(project.videos / "v5.mp4")
    project.build()
    sampling = SamplingOptions(kind="dense", frame_stride=1, hop=4)
    prepared = prepare(project.options(sampling=sampling))
    write_plan(prepared)
    store = project.store()
    work = find_work(store, prepared.manifest, retry=None)
    options = replace(prepared.engine_options, decoder="cuda")
    member = Member(store=store, backbone=prepared.backbone, batch_size=2)
    with Engine([member], options, StandInPool(1, 60.0, preload=["fouls.pipeline.decoding"])) as engine:
        for group in make_groups([prepared], [work]):
            engine.run(group)
    rows = store.rows().to_pylist()
    decoders = {
        row: decoder
        for record in store.ledger()
        for decoder, spans in record.decoders.items()
        for start, stop in spans
        for row in range(start, stop)
    }
    failed = {failure["video_id"]: failure["message"] for failure in failures(store).to_pylist()}
    assert failed.keys() == {"v5"}
    assert failed["v5"].startswith("cuda: ")
    assert "; pyav: " in failed["v5"]
    done = [row for row in rows if row["status"] == "done"]
    assert {row["row"] for row in done} == decoders.keys()
    assert {(row["video_id"], decoders[row["row"]]) for row in done if row["video_id"] != "v5"} == {
        (f"v{number}", "pyav" if number == 3 else "cuda") for number in range(10) if number != 5
    }
    project.extract("by_pyav", sampling=sampling, decoder="pyav")
    places = [row["row"] for row in done]
    np.testing.assert_array_equal(store["mean"][:][places], project.store("by_pyav")["mean"][:][places])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_begun(project: Project) -> None:
    with pytest.raises(ConfigError, match="decoder 'cuda' needs a GPU"):
        project.extract(decoder="cuda")
    assert not (project.path / "cache").exists()


def test_where_the_backbone_is_the_decoder_is(project: Project) -> None:
    """``--device cuda:1`` decodes on the second GPU; a cluster's workers, of which nobody knows yet, on theirs."""
    prepared = prepare(project.options())
    on_second = replace(
        prepared,
        options=replace(prepared.options, decoder="cuda"),
        placement=replace(prepared.placement, device="cuda:1"),
    )
    assert on_second.engine_options.decoder == "cuda:1"
    scheduler = ExecutorOptions(scheduler="tcp://127.0.0.1:1", device="cpu")
    assert prepare(project.options(decoder="cuda", executor=scheduler)).engine_options.decoder == "cuda"
