"""The training loop: AdamW, schedules, gradient clipping, averages of weights, early stopping; all in memory."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fouls.errors import ConfigError, RunError
from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.objective import Objective, Step, make_objective
from fouls.heads.precision import training_dtype
from fouls.heads.samples import Samples
from fouls.heads.tally import EpochScores, Tally, measure
from fouls.heads.tasks import Task
from fouls.heads.train_config import TrainConfig
from fouls.heads.training.clipping import clip_in_step
from fouls.heads.training.ema import Ema
from fouls.heads.training.mixing import MixingConfig, mix
from fouls.heads.training.sampling import epoch_order
from fouls.heads.training.schedule import learning_rate_factor
from fouls.heads.training.task_weights import difficulty_scores, task_weights

_DECIDING_SCORES = ("/balanced_accuracy", "/mean_average_precision")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What training gave, besides the weights."""

    history: list[EpochScores]
    best_epoch: int
    """The epoch (from 1) whose weights the head has: the best on valid, or the last where there is no valid."""
    stopped_early: bool


def fit(
    head: Head,
    train: Samples,
    valid: Samples | None,
    tasks: Sequence[Task],
    config: TrainConfig,
    loss: LossConfig,
    on_epoch: Callable[[EpochScores], None] = lambda scores: None,
) -> Fit:
    """Train a head in place; to be called under :func:`fouls.heads.determinism.deterministic`.

    Args:
        head: fresh, on the device of the samples.
        train: reduced samples, each with a label in some task.
        valid: likewise; ``None``: all epochs are trained, and the last weights stay.
        tasks: what to learn.
        config: how.
        loss: resolved; which loss.
        on_epoch: called with the new line of the history after every epoch.

    Raises:
        ConfigError: options that don't fit the samples.
        RunError: the loss is not finite any more.
    """
    check_fit(train, tasks, config)
    head.fit_inputs(train)
    train = head.standardised(train, training_dtype(config.precision))
    valid = None if valid is None else head.standardised(valid, torch.float32)
    objective = make_objective(train, tasks, loss)
    fixed = dataclasses.replace(objective, weights=dict(objective.weights))  # valid losses of all epochs compare
    generator = torch.Generator().manual_seed(config.seed)
    balanced = labels_to_balance(train, tasks, config)
    parameters = list(head.parameters())
    optimiser = torch.optim.AdamW(parameter_groups(head, config.weight_decay), lr=config.lr, fused=True)
    ema = Ema(parameters, config.ema_decay) if config.ema_decay else None
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    warmup_steps, total_steps = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    best = Best()
    history: list[EpochScores] = []
    step = 0

    for epoch in range(1, config.epochs + 1):
        head.train()
        tally = Tally(objective)
        order = epoch_order(balanced, config.sampling, generator).to(train.device)
        drawn = draw_passes(train, generator)
        for indices in torch.split(order, config.batch_size):
            lr = config.lr * learning_rate_factor(
                step, warmup_steps=warmup_steps, total_steps=total_steps, kind=config.schedule
            )
            for group in optimiser.param_groups:
                group["lr"] = lr
            taken = take_batch(train, indices, drawn, config, generator)
            batch_loss = tally.add(head.classify(taken.batch), taken)
            optimiser.zero_grad()
            batch_loss.backward()  # type: ignore[no-untyped-call]
            clip_in_step(optimiser, parameters, config.clip_norm)
            optimiser.step()
            if ema is not None:
                ema.update()
            step += 1

        scores: EpochScores = {"epoch": epoch, "learning_rate": lr, **tally.scores("train")}
        if not math.isfinite(scores["train/loss"]):
            raise RunError(not_finite(epoch, config.lr))
        if valid is not None:
            with ema.swapped_in() if ema is not None else nullcontext():
                scores |= measure(head, valid, fixed).scores("valid")
                best.offer(scores, epoch, head)
        weigh_tasks(objective, scores, "train" if valid is None else "valid")
        history.append(scores)
        on_epoch(scores)
        if valid is not None and epoch - best.epoch >= config.patience:
            break

    if best.weights is not None:
        head.load_state_dict(best.weights)
    elif ema is not None:
        ema.copy_to_parameters()
    head.eval()
    return Fit(history=history, best_epoch=best.epoch or epoch, stopped_early=epoch < config.epochs)


def not_finite(epoch: int, lr: float) -> str:
    """What is said where training has gone astray."""
    return f"the loss is not finite in epoch {epoch}: train with a lower --lr than {lr:g}"


def check_fit(train: Samples, tasks: Sequence[Task], config: TrainConfig) -> None:
    """Refuse options that don't fit the samples; :func:`fit` does so too.

    Args:
        train: reduced samples.
        tasks: what is to be learned.
        config: how.

    Raises:
        ConfigError: cutmix without time steps, or balanced sampling without a task that tells classes.
    """
    config.mixing.check_steps(train.num_steps)
    labels_to_balance(train, tasks, config)


def take_batch(
    train: Samples, indices: Tensor, passes: Tensor | None, config: TrainConfig, generator: torch.Generator
) -> Step:
    """The samples of one step, in the passes that were drawn for them, mixed where that is asked for.

    Args:
        train: all samples.
        indices: (B,)
        passes: (S,) the pass of each sample; ``None``: the plain one.
        config: how samples are mixed.
        generator: decides the mixing.
    """
    of_batch = None if passes is None else passes[indices]
    batch = train.gather(indices, of_batch)
    mixed = None
    if config.mixing != MixingConfig():
        mixed = mix(batch.x, batch.mask, config.mixing, generator)
    if mixed is not None:
        batch = batch.with_steps(mixed.x, batch.mask)
    return Step(samples=train, indices=indices, batch=batch, passes=of_batch, mixed=mixed, training=True)


def labels_to_balance(train: Samples, tasks: Sequence[Task], config: TrainConfig) -> Tensor:
    """The labels whose classes decide how often a sample is drawn, (S,)."""
    candidates = [task.name for task in tasks if not task.per_frame and not task.multi_label]
    if config.sampling == "shuffle":
        return torch.zeros(len(train), dtype=torch.int64)
    name = config.sampling_task or (candidates[0] if candidates else "")
    if name not in candidates:
        raise ConfigError(
            f"sampling {config.sampling!r} needs a task with one label a sample, not {name or 'none'!r}; there is: "
            f"{', '.join(candidates) or 'none'}"
        )
    return train.labels[name]


def weigh_tasks(objective: Objective, scores: EpochScores, split: str) -> None:
    """Let the tasks weigh by how hard they are, from the next epoch on."""
    config, names = objective.config, [task.name for task in objective.tasks]
    if config.task_weighting != "fixed":
        difficulty = difficulty_scores(scores, names, config.task_weighting, split)
        objective.weights.update(task_weights(names, config.task_weights, difficulty))


@dataclass
class Best:
    """The best epoch so far: the highest mean over tasks of valid's score; of equal ones the lower loss.

    The score is the balanced accuracy, and the mean average precision of a multi-label task.
    """

    epoch: int = 0
    score: tuple[float, float] = (-math.inf, -math.inf)
    weights: dict[str, Any] | None = field(default=None, repr=False)

    def offer(self, scores: EpochScores, epoch: int, head: Head) -> None:
        """Take the epoch, with a copy of its weights, if it is better."""
        score = (deciding_score(scores), -scores["valid/loss"])
        if score > self.score:
            self.epoch, self.score, self.weights = epoch, score, copy.deepcopy(head.state_dict())


def deciding_score(scores: EpochScores) -> float:
    """What says how good an epoch is: the mean over tasks of valid's score, see :class:`Best`."""
    values = [value for name, value in scores.items() if name.startswith("valid/") and name.endswith(_DECIDING_SCORES)]
    return sum(values) / len(values)


def draw_passes(train: Samples, generator: torch.Generator) -> Tensor | None:
    """A pass for each sample, (S,), plain or augmented, drawn evenly; ``None`` where there is only the plain one."""
    if train.num_passes == 1:
        return None
    return torch.randint(train.num_passes, (len(train),), generator=generator).to(train.device)


def parameter_groups(head: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms and other vectors do not."""
    parameters = list(head.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
