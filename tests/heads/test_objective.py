"""What is minimised: the parts and their weights, each against the loss function itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fouls.heads.batch import Batch, Extras, HeadOutput
from fouls.heads.frames import Frames
from fouls.heads.losses import LossConfig
from fouls.heads.losses.smoothness import l1
from fouls.heads.objective import Objective, Step, make_objective
from fouls.heads.samples import Samples, samples_from_rows
from fouls.heads.tasks import Task
from fouls.heads.train import take_batch
from fouls.heads.train_config import TrainConfig
from fouls.heads.training.mixing import Mixed, MixingConfig
from tests.heads.test_samples import rows_of

FOUL, CARD = Task(name="foul", classes=("no", "yes")), Task(name="card", classes=("none", "yellow", "red"))
STEP_TASK = Task(name="step", classes=("a", "b"), per_frame=True)
PLAIN = LossConfig(class_weights="none", label_smoothing=0.0)
GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def world(steps: int = 3) -> Samples:
    """Four samples with one view each."""
    rows = rows_of(*((name, f"{name}/0", 0, 0, 0) for name in "abcd"))
    samples = samples_from_rows(randn(4, steps, 5).numpy(), rows, clips_are_steps=False)
    labels = {"foul": torch.tensor([0, 1, 1, -1]), "card": torch.tensor([2, -1, 0, 1])}
    frames = Frames(first=torch.zeros(4, dtype=torch.int64), steps=torch.arange(steps).expand(1, 4, steps))
    frame_labels = {"step": torch.tensor([[0, 1, -1], [1, 1, 0], [0, 0, 0], [-1, -1, 1]])[:, :steps]}
    return dataclasses.replace(samples, labels=labels, frames=frames, frame_labels=frame_labels)


def step_of(samples: Samples, mixed: Mixed | None = None) -> Step:
    indices = torch.arange(4)
    return Step(samples=samples, indices=indices, batch=samples.gather(indices), mixed=mixed, training=True)


def objective(samples: Samples, *tasks: Task, **options: object) -> Objective:
    config = dataclasses.replace(PLAIN, **options).resolved([task.name for task in tasks])  # type: ignore[arg-type]
    return make_objective(samples, tasks, config)


def test_tasks_are_added_with_their_weights() -> None:
    samples = world()
    logits = {"foul": randn(4, 2), "card": randn(4, 3)}
    total, found = objective(samples, FOUL, CARD, task_weights={"card": 3.0})(
        HeadOutput(logits, Extras()), step_of(samples)
    )
    foul = F.cross_entropy(logits["foul"], samples.labels["foul"], ignore_index=-1)
    card = F.cross_entropy(logits["card"], samples.labels["card"], ignore_index=-1)
    torch.testing.assert_close(total, foul + 3 * card)
    assert found["card"].labels.tolist() == [2, -1, 0, 1]


def test_mixed_samples_have_two_labels() -> None:
    samples = world()
    logits = {"card": randn(4, 3)}
    partners, shares = torch.tensor([3, 2, 1, 0]), torch.tensor([0.75, 0.5, 1.0, 0.25])
    mixed = Mixed(
        x=samples.gather(torch.arange(4)).x, partners=partners, shares=shares, step_shares=torch.ones(4, 1, 3)
    )
    total, _ = objective(samples, CARD)(HeadOutput(logits, Extras()), step_of(samples, mixed))
    nll = -logits["card"].log_softmax(dim=1).numpy()
    labels = samples.labels["card"].numpy()
    loss = weight = 0.0
    for sample in range(4):
        for label, share in ((labels[sample], shares[sample]), (labels[partners[sample]], 1 - shares[sample])):
            if label >= 0:
                loss, weight = loss + float(share) * nll[sample, label], weight + float(share)
    np.testing.assert_allclose(total, loss / weight, rtol=1e-6)


def test_mixed_frames_take_the_partners_frame_at_the_same_place() -> None:
    samples = world()
    logits = randn(4, 1, 3, 2)
    partners = torch.tensor([1, 0, 3, 2])
    step_shares = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])[:, None]
    mixed = Mixed(x=samples.gather(torch.arange(4)).x, partners=partners, shares=torch.ones(4), step_shares=step_shares)
    total, _ = objective(samples, STEP_TASK)(HeadOutput({"step": logits}, Extras()), step_of(samples, mixed))
    own = samples.frame_labels["step"]
    labels = torch.where(step_shares[:, 0].bool(), own, own[partners])
    expected = F.cross_entropy(logits[:, 0].reshape(-1, 2), labels.flatten(), ignore_index=-1)
    torch.testing.assert_close(total, expected)


def test_every_stage_pays_and_is_to_be_smooth() -> None:
    samples = world()
    last, stages = randn(4, 1, 3, 2), [randn(4, 1, 3, 2), randn(4, 1, 3, 2)]
    output = HeadOutput({"step": last}, Extras(stages={"step": stages}))
    step = step_of(samples)
    total, _ = objective(samples, STEP_TASK, smoothness="l1", smoothness_weight=0.1)(output, step)
    labels = samples.frame_labels["step"].flatten()
    expected = sum(
        F.cross_entropy(logits.reshape(-1, 2), labels, ignore_index=-1) + 0.1 * l1(logits, step.batch.mask)
        for logits in (last, *stages)
    )
    torch.testing.assert_close(total, expected)


def test_assisting_outputs_carry_the_samples_label_at_every_step() -> None:
    samples = world()
    logits, assisting = randn(4, 3), randn(4, 6, 3)
    mask = torch.arange(6) < torch.tensor([6, 2, 4, 3])[:, None]
    output = HeadOutput({"card": logits}, Extras(assisting={"card": assisting}, assisting_mask=mask))
    total, _ = objective(samples, CARD, assisting_weight=0.25)(output, step_of(samples))
    labels = samples.labels["card"]
    of_steps = torch.where(mask, labels[:, None], -1)
    expected = F.cross_entropy(logits, labels, ignore_index=-1) + 0.25 * F.cross_entropy(
        assisting.flatten(0, 1), of_steps.flatten(), ignore_index=-1
    )
    torch.testing.assert_close(total, expected)


def test_keypoints_pay_where_they_are_visible() -> None:
    samples = world()
    keypoints = torch.rand(4, 3, 2, 3, generator=GENERATOR)
    keypoints[..., 2] = torch.tensor([[0.95, 0.2]] * 3)
    keypoints[1, 0, 0, 0] = torch.nan
    samples = dataclasses.replace(samples, keypoints=keypoints)
    predicted = torch.rand(4, 1, 3, 2, 2, generator=GENERATOR)
    output = HeadOutput({"foul": randn(4, 2)}, Extras(keypoints=predicted))
    with_keypoints, _ = objective(samples, FOUL, keypoint_weight=2.0)(output, step_of(samples))
    without, _ = objective(samples, FOUL, keypoint_weight=0.0)(output, step_of(samples))
    difference = (predicted[:, 0, :, 0] - keypoints[..., 0, :2]).numpy()
    seen = np.isfinite(difference).all(axis=-1)
    expected = (0.5 * difference[seen] ** 2).mean()
    np.testing.assert_allclose(with_keypoints - without, 2 * expected, rtol=1e-5)


def test_margins_and_adjusted_logits_are_for_training_alone() -> None:
    samples = world()
    logits = {"foul": randn(4, 2).tanh() * 30}
    minimise = objective(samples, FOUL, kind="arcface", logit_adjustment_tau=1.0)
    step = step_of(samples)
    measured, _ = minimise(HeadOutput(logits, Extras()), dataclasses.replace(step, training=False))
    torch.testing.assert_close(measured, F.cross_entropy(logits["foul"], samples.labels["foul"], ignore_index=-1))
    trained, _ = minimise(HeadOutput(logits, Extras()), step)
    assert trained > measured


def test_a_batch_is_mixed_as_the_config_says() -> None:
    samples = world()
    indices = torch.tensor([2, 0])
    generator = torch.Generator().manual_seed(3)
    plain = take_batch(samples, indices, None, TrainConfig(), generator)
    assert plain.mixed is None
    assert isinstance(plain.batch, Batch)
    torch.testing.assert_close(plain.batch.x, samples.gather(indices).x)
    mixed = take_batch(samples, indices, None, TrainConfig(mixing=MixingConfig(mixup_alpha=1.0)), generator)
    assert mixed.mixed is not None
    share, partner = mixed.mixed.shares[0], samples.gather(indices).x[mixed.mixed.partners[0]]
    torch.testing.assert_close(mixed.batch.x[0], share * plain.batch.x[0] + (1 - share) * partner)


@pytest.mark.parametrize("sampling", ["balanced", "sqrt"])
def test_passes_are_of_the_samples_that_were_drawn(sampling: str) -> None:
    passes = torch.tensor([0, 1, 0, 1])
    rows = rows_of(*((name, f"{name}/0", 0, 0, 0) for name in "abcd" for _ in (0, 1)))
    rows = rows.append_column("augment", [[0, 1] * 4])
    values = np.arange(8, dtype=np.float32).reshape(8, 1, 1)
    samples = samples_from_rows(values, rows, clips_are_steps=False)
    step = take_batch(samples, torch.tensor([3, 1, 1, 0]), passes, TrainConfig(sampling=sampling), GENERATOR)  # type: ignore[arg-type]
    assert step.batch.x.flatten().tolist() == [7, 3, 3, 0]
