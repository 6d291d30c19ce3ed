"""Training in bfloat16 ends where training in float32 does; features are standardised once, or in every step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fouls.errors import ConfigError
from fouls.heads.batch import InputForm
from fouls.heads.determinism import deterministic
from fouls.heads.head import Head
from fouls.heads.precision import Precision, resolve_precision
from fouls.heads.predictions import reduced
from fouls.heads.prepare import Prepared, prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import samples_from_rows
from fouls.heads.tasks import Task
from fouls.heads.train import Fit, fit
from fouls.heads.train_config import TrainConfig
from fouls.processor import cpu_multiplies_bf16
from tests.heads.test_samples import rows_of
from tests.heads.worlds import BLOB_TASKS, blobs, make_manifest, make_store

CPU = torch.device("cpu")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TASK = Task(name="action", classes=("a", "b"))


def train(prepared: Prepared, precision: Precision) -> tuple[Head, Fit]:
    config = dataclasses.replace(prepared.config.train, precision=precision)
    with deterministic(0, CPU):
        head = prepared.config.build_head()
        samples = reduced(head, prepared.samples)
        train, valid = samples.select(prepared.train), samples.select(prepared.valid)
        return head, fit(head, train, valid, prepared.config.tasks, config, prepared.config.loss)


@pytest.mark.parametrize("head", ["mlp", "tcn"])
def test_bfloat16_learns_what_float32_learns(tmp_path: Path, head: str) -> None:
    videos = blobs({"train": 120, "valid": 60}, views=2, signal=0.6)
    store, manifest = make_store(tmp_path / "store", videos), make_manifest(videos, BLOB_TASKS)
    options = RunOptions(head=make_head_config(head, {"hidden": 32}), train=TrainConfig(epochs=12), pools=("temporal",))
    prepared = prepare(store, manifest, options, manifest_path="m")
    assert prepared.config.train.precision == ("bf16" if cpu_multiplies_bf16() else "fp32")
    runs = {name: train(prepared, name) for name in PRECISIONS}
    losses = {name: [scores["valid/loss"] for scores in run.history] for name, (_, run) in runs.items()}
    assert losses["bf16"] != losses["fp32"]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.01)
    assert losses["fp32"][-1] < 0.95 * losses["fp32"][0]
    assert all(weight.dtype == torch.float32 for weight in runs["bf16"][0].state_dict().values())


def test_auto_is_resolved_by_head_inputs_and_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    form = InputForm(widths=(8,), num_steps=4)
    for has_it, found in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("fouls.heads.precision.cpu_multiplies_bf16", lambda has_it=has_it: has_it)
        for name in ("mlp", "tcn"):
            assert resolve_precision("auto", make_head_config(name, {}), form, CPU) == found
            assert resolve_precision("fp32", make_head_config(name, {}), form, CPU) == "fp32"
            assert resolve_precision("bf16", make_head_config(name, {}), form, CPU) == "bf16"
    for name, options in (("linear", {}), ("mlp", {"project": 4}), ("tcn", {"standardise": False})):
        head = make_head_config(name, options)
        assert resolve_precision("auto", head, form, CPU) == "fp32"
        with pytest.raises(ConfigError, match="precision is 'bf16', which mlp and tcn can be trained in"):
            resolve_precision("bf16", head, form, CPU)
    with pytest.raises(ConfigError, match="precision is 'fp16'; allowed: auto, fp32, bf16"):
        TrainConfig(precision="fp16")


@pytest.mark.parametrize("name", ["linear", "mlp", "tcn", "ms_tcn", "attentive", "mvfouls", "vars", "live_replay"])
def test_standardised_once_is_standardised_in_every_step(name: str) -> None:
    rows = rows_of(*(("b", "b/0", 0, clip, 0) for clip in range(5)), ("a", "a/0", 0, 0, 0), ("a", "a/1", 1, 0, 0))
    values = np.random.default_rng(0).normal(3, 2, (7, 2, 12)).astype(np.float16)
    samples = samples_from_rows(values, rows, clips_are_steps=True)
    form = InputForm(widths=(12,), num_steps=10)
    head: Any = make_head_config(name, {}).resolved(form, (TASK,)).build(form, (TASK,))
    samples = reduced(head, samples)
    head.fit_inputs(samples)
    once = head.standardised(samples, torch.float32)
    assert once.values.dtype == torch.float32
    for indices in (torch.tensor([0, 1]), torch.tensor([1])):
        early, late = once.gather(indices), samples.gather(indices)
        assert (early.standardised, late.standardised) == (True, False)
        assert head.inputs(early).equal(head.inputs(late))
        assert not early.tracks.equal(late.tracks)


def test_standardising_keeps_the_rows_that_samples_refer_to() -> None:
    rows = rows_of(*((sample, f"{sample}/0", 0, clip, 0) for sample in "abc" for clip in range(2)))
    values = np.arange(6 * 3, dtype=np.float32).reshape(6, 1, 3)
    samples = samples_from_rows(values, rows, clips_are_steps=True).select(np.array([2, 0]))
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])
    found = samples.standardise(mean, std, torch.bfloat16)
    assert found.values.shape == (4, 1, 3)
    expected = ((torch.from_numpy(values[[4, 5, 0, 1], 0]) - mean) / std).bfloat16()
    batch = found.gather(torch.tensor([0, 1]))
    assert batch.tracks.flatten(0, 1).equal(expected)
    assert samples.gather(torch.tensor([0])).tracks.equal(torch.from_numpy(values[None, [4, 5], 0]))
