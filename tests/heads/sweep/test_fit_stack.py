"""Training at once is training alone: every model of a stack comes out as ``fit`` leaves it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from fouls.heads.determinism import deterministic
from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.predictions import reduced
from fouls.heads.prepare import Prepared, prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import Samples
from fouls.heads.sweep.fit_stack import Member, fit_stack
from fouls.heads.train import fit
from fouls.heads.train_config import TrainConfig
from fouls.heads.training.mixing import MixingConfig
from tests.heads.worlds import BLOB_TASKS, Video, blobs, make_manifest, make_store

CPU = torch.device("cpu")
RATES = [1e-3, 3e-2, 0.3]


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    found = blobs({"train": 50, "valid": 24}, views=2, signal=0.6)
    return [dataclasses.replace(video) for place, video in enumerate(found) if place % 7 != 1]  # some lack a view


def make_prepared(folder: Path, videos: list[Video], head: str, **options: Any) -> Prepared:
    config = TrainConfig(**{"epochs": 12, "patience": 4, "batch_size": 16, "precision": "fp32", **options})
    chosen = RunOptions(head=make_head_config(head, {}), train=config, pools=("temporal",))
    return prepare(make_store(folder, videos), make_manifest(videos, BLOB_TASKS), chosen, manifest_path="m")


def start(prepared: Prepared) -> tuple[Head, Samples, Samples]:
    head = prepared.config.build_head()
    samples = reduced(head, prepared.samples)
    return head, samples.select(prepared.train), samples.select(prepared.valid)


def check(prepared: Prepared, members: list[Member]) -> None:
    """Train the members at once and one by one."""
    config = prepared.config
    counted: list[int] = []
    with deterministic(config.train.seed, CPU):
        head, train, valid = start(prepared)
        fit_stack(head, train, valid, config.tasks, config.train, members, counted.append)
    assert sum(counted) == len(members) * config.train.epochs
    for member in members:
        own = dataclasses.replace(config.train, lr=member.lr, weight_decay=member.weight_decay)
        with deterministic(config.train.seed, CPU):
            head, train, valid = start(prepared)
            alone = fit(head, train, valid, config.tasks, own, member.loss)
        together = member.fit
        assert (together.best_epoch, together.stopped_early) == (alone.best_epoch, alone.stopped_early)
        assert len(together.history) == len(alone.history)
        for ours, wanted in zip(together.history, alone.history, strict=True):
            assert ours == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        for name, parameter in head.named_parameters():
            torch.testing.assert_close(member.weights[name], parameter.detach(), rtol=1e-3, atol=1e-4)


def members_of(loss: LossConfig, decays: list[float]) -> list[Member]:
    return [Member(lr=lr, weight_decay=decay, loss=loss) for lr, decay in zip(RATES, decays, strict=True)]


@pytest.mark.parametrize(
    ("head", "train", "loss"),
    [
        ("linear", {}, {}),
        ("mlp", {"seed": 5}, {}),
        ("linear", {"ema_decay": 0.9}, {"task_weighting": "inverse_f1"}),
        ("linear", {"mixing": MixingConfig(mixup_alpha=0.3)}, {"kind": "focal"}),
        ("linear", {"sampling": "balanced", "schedule": "linear", "clip_norm": 0.1}, {"kind": "soft_f1"}),
        ("linear", {"warmup_epochs": 0.0}, {"kind": "bce", "task_weights": {"look": 0.3}}),
    ],
)
def test_all_come_out_as_alone(
    tmp_path: Path, videos: list[Video], head: str, train: dict[str, Any], loss: dict[str, Any]
) -> None:
    prepared = make_prepared(tmp_path, videos, head, **train)
    resolved = LossConfig(**loss).resolved(BLOB_TASKS)
    members = members_of(resolved, [0.05, 0.0, 1.0])
    check(prepared, members)
    assert len({len(member.history) for member in members}) > 1  # they end at different times


def test_every_model_has_its_own_loss(tmp_path: Path, videos: list[Video]) -> None:
    prepared = make_prepared(tmp_path, videos, "linear", epochs=6)
    kinds: list[dict[str, Any]] = [{}, {"kind": "focal"}, {"label_smoothing": 0.4}, {}, {"class_weights": "none"}]
    members = [
        Member(lr=lr, weight_decay=0.05, loss=LossConfig(**kind).resolved(BLOB_TASKS))
        for lr, kind in zip([0.01, 0.02, 0.03, 0.04, 0.05], kinds, strict=True)
    ]
    check(prepared, members)


def test_a_loss_that_is_not_finite_costs_one_model(tmp_path: Path, videos: list[Video]) -> None:
    prepared = make_prepared(tmp_path, videos, "linear", epochs=5)
    config = prepared.config
    members = [Member(lr=lr, weight_decay=0.0, loss=config.loss) for lr in (1e-2, 1e38)]
    with deterministic(0, CPU):
        head, train, valid = start(prepared)
        fit_stack(head, train, valid, config.tasks, config.train, members)
    assert members[1].failure == "the loss is not finite in epoch 1: train with a lower --lr than 1e+38"
    assert not members[1].weights
    assert members[0].failure is None
    check(prepared, [dataclasses.replace(members[0], history=[], best_epoch=0, best_score=(-1.0, 0.0), weights={})])
