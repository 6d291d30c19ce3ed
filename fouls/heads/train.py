"""The training loop: AdamW, warm-up and cosine, gradient clipping, early stopping; batches by index, all in memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fouls.errors import ConfigError, RunError
from fouls.heads.head import Head, check_range
from fouls.heads.losses import LossConfig, class_weights
from fouls.heads.samples import Samples
from fouls.heads.tally import EpochScores, Objective, Tally, measure
from fouls.heads.targets import label_counts
from fouls.heads.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a head is trained."""

    epochs: int = 100
    """At most: early stopping may end it before."""
    batch_size: int = 64
    """Samples a step."""
    lr: float = 1e-3
    """AdamW's learning rate after the warm-up."""
    weight_decay: float = 0.05
    """AdamW's, on matrices only: biases and norms do not decay."""
    warmup_epochs: float = 2.0
    """Epochs in which the learning rate grows from 0; then it falls to 0 along a cosine."""
    clip_norm: float = 1.0
    """The gradient's norm is cut to this."""
    patience: int = 20
    """Epochs without a better score on valid after which training stops; the best weights are restored."""
    valid_fraction: float = 0.0
    """Share of train's samples that is set aside as valid where the manifest has no such split."""
    seed: int = 0
    """Decides the first weights, the batches, the dropout, and the samples set aside."""

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, 1e6)
        check_range("batch size", self.batch_size, 1, 1e6)
        check_range("weight decay", self.weight_decay, 0, 1e3)
        check_range("warm-up epochs", self.warmup_epochs, 0, 1e6)
        check_range("patience", self.patience, 1, 1e6)
        check_range("valid fraction", self.valid_fraction, 0, 0.9)
        check_range("seed", self.seed, 0, 2**63 - 1)
        for name, value in (("learning rate", self.lr), ("clip norm", self.clip_norm)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value:g}; it must be greater than 0")


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
        loss: which loss; those of the tasks are added.
        on_epoch: called with the new line of the history after every epoch.

    Raises:
        RunError: the loss is not finite any more.
    """
    head.fit_inputs(train)
    objective = make_objective(train, tasks, loss)
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(parameter_groups(head, config.weight_decay), lr=config.lr, fused=True)
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    warmup_steps, total_steps = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    best = Best()
    history: list[EpochScores] = []
    step = 0

    for epoch in range(1, config.epochs + 1):
        head.train()
        tally = Tally(objective)
        order = torch.randperm(len(train), generator=generator).to(train.device)
        drawn = draw_passes(train, generator)
        for indices in torch.split(order, config.batch_size):
            passes = None if drawn is None else drawn[indices]
            lr = config.lr * schedule(step, warmup_steps, total_steps)
            for group in optimiser.param_groups:
                group["lr"] = lr
            batch_loss = tally.add(head.classify(train.gather(indices, passes)), train, indices, passes)
            optimiser.zero_grad()
            batch_loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(head.parameters(), config.clip_norm)
            optimiser.step()
            step += 1

        scores: EpochScores = {"epoch": epoch, "learning_rate": lr, **tally.scores("train")}
        if not math.isfinite(scores["train/loss"]):
            raise RunError(f"the loss is not finite in epoch {epoch}: train with a lower --lr than {config.lr:g}")
        if valid is not None:
            scores |= measure(head, valid, objective).scores("valid")
            best.offer(scores, epoch, head)
        history.append(scores)
        on_epoch(scores)
        if valid is not None and epoch - best.epoch >= config.patience:
            break

    if best.weights is not None:
        head.load_state_dict(best.weights)
    head.eval()
    return Fit(history=history, best_epoch=best.epoch or epoch, stopped_early=epoch < config.epochs)


@dataclass
class Best:
    """The best epoch so far: the highest mean over tasks of valid's balanced accuracy; of equal ones the lower loss."""

    epoch: int = 0
    score: tuple[float, float] = (-math.inf, -math.inf)
    weights: dict[str, Any] | None = field(default=None, repr=False)

    def offer(self, scores: EpochScores, epoch: int, head: Head) -> None:
        """Take the epoch, with a copy of its weights, if it is better."""
        accuracies = [
            value for name, value in scores.items() if name.startswith("valid/") and name.endswith("/balanced_accuracy")
        ]
        score = (sum(accuracies) / len(accuracies), -scores["valid/loss"])
        if score > self.score:
            self.epoch, self.score, self.weights = epoch, score, copy.deepcopy(head.state_dict())


def make_objective(train: Samples, tasks: Sequence[Task], loss: LossConfig) -> Objective:
    """The loss, with class weights from the labels of the train split."""
    weights: dict[str, Tensor] = {}
    for task in tasks:
        counts = label_counts(task, train)
        of_classes = class_weights(counts, loss.class_weights, loss.max_class_weight)
        weights[task.name] = of_classes.to(train.tracks.device)
    return Objective(tasks=tuple(tasks), weights=weights, label_smoothing=loss.label_smoothing)


def draw_passes(train: Samples, generator: torch.Generator) -> Tensor | None:
    """An augmented pass for each sample, (S,), drawn evenly; ``None`` where there is only the plain one."""
    if train.num_passes == 1:
        return None
    return torch.randint(1, train.num_passes, (len(train),), generator=generator).to(train.device)


def schedule(step: int, warmup_steps: float, total_steps: int) -> float:
    """Factor on the learning rate: from 0 to 1 in the warm-up, then down to 0 along a cosine."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1.0, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def parameter_groups(head: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms and other vectors do not."""
    parameters = list(head.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
