"""The training loop of :mod:`fouls.heads.train` for many heads of one shape at once.

They begin with the same weights and see the same batches, with the same dropout: what the seed decides, as each of them
would alone. Learning rate, weight decay and loss are a model's own, and so are its best epoch and its end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fouls.heads.head import Head
from fouls.heads.losses import LossConfig
from fouls.heads.objective import Objective, Step, make_objective
from fouls.heads.precision import training_dtype
from fouls.heads.samples import Samples
from fouls.heads.sweep.adamw import StackedAdamW
from fouls.heads.sweep.objective import StackedObjective, StackedTally
from fouls.heads.sweep.stack import WideStack, make_stack, pooled
from fouls.heads.tally import EVALUATION_BATCH, EpochScores
from fouls.heads.tasks import Task
from fouls.heads.train import (
    Fit,
    check_fit,
    deciding_score,
    draw_passes,
    labels_to_balance,
    not_finite,
    take_batch,
    weigh_tasks,
)
from fouls.heads.train_config import TrainConfig
from fouls.heads.training.ema import Ema
from fouls.heads.training.mixing import MixingConfig
from fouls.heads.training.sampling import epoch_order
from fouls.heads.training.schedule import learning_rate_factor


@dataclass(kw_only=True)
class Member:
    """One of the models, and how far it came."""

    lr: float
    weight_decay: float
    loss: LossConfig
    """Resolved."""
    history: list[EpochScores] = field(default_factory=list)
    best_epoch: int = 0
    best_score: tuple[float, float] = (-math.inf, -math.inf)
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)
    """The best parameters by name, once it has ended."""
    stopped_early: bool = False
    failure: str | None = None
    """Why it has no weights."""

    @property
    def fit(self) -> Fit:
        """What training gave, as :func:`fouls.heads.train.fit` says it."""
        return Fit(history=self.history, best_epoch=self.best_epoch, stopped_early=self.stopped_early)


def fit_stack(
    head: Head,
    train: Samples,
    valid: Samples,
    tasks: Sequence[Task],
    config: TrainConfig,
    members: Sequence[Member],
    on_epochs: Callable[[int], None] = lambda count: None,
) -> None:
    """Train copies of a head; to be called under :func:`fouls.heads.determinism.deterministic`.

    Args:
        head: fresh, on the device of the samples; it keeps its first weights, and its inputs are fitted.
        train: reduced samples, each with a label in some task.
        valid: likewise.
        tasks: what to learn.
        config: how; its learning rate and weight decay do not count.
        members: fresh; what becomes of each is written into them.
        on_epochs: called after every epoch with the number of the models' epochs that are over.

    Raises:
        ConfigError: options that don't fit the samples.
    """
    check_fit(train, tasks, config)
    head.fit_inputs(train)
    train = head.standardised(train, training_dtype(config.precision))
    valid = head.standardised(valid, torch.float32)
    if WideStack.fits(head) and train.num_passes == 1 and config.mixing == MixingConfig() and train.standardised:
        train, valid = pooled(head, train), pooled(head, valid)
    generator = torch.Generator().manual_seed(config.seed)
    balanced = labels_to_balance(train, tasks, config)
    models = _Models(head, members, [make_objective(train, tasks, member.loss) for member in members], config)
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    warmup_steps, total_steps = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    step = 0
    for epoch in range(1, config.epochs + 1):
        models.stack.head.train()
        tally = StackedTally(models.objective)
        order = epoch_order(balanced, config.sampling, generator).to(train.device)
        drawn = draw_passes(train, generator)
        for indices in torch.split(order, config.batch_size):
            factor = learning_rate_factor(
                step, warmup_steps=warmup_steps, total_steps=total_steps, kind=config.schedule
            )
            models.step(take_batch(train, indices, drawn, config, generator), tally, factor)
            step += 1
        lines = [
            {"epoch": epoch, "learning_rate": member.lr * factor, **scores}
            for member, scores in zip(models.members, tally.scores("train"), strict=True)
        ]
        count = len(models.members)
        models.measure(valid, lines)
        models.end_some(epoch)
        on_epochs(count + (config.epochs - epoch) * (count - len(models.members)))
        if not models.members:
            break


class _Models:
    """The models that are still trained."""

    def __init__(
        self, head: Head, members: Sequence[Member], objectives: Sequence[Objective], config: TrainConfig
    ) -> None:
        self.config = config
        self.device = next(head.parameters()).device
        self.members = list(members)
        self.stack = make_stack(head)
        self._set_objectives(objectives, [dataclasses.replace(one, weights=dict(one.weights)) for one in objectives])
        self.optimiser = StackedAdamW(self.stack.copies(len(members)), *self._rates())
        self.ema = Ema([self.optimiser.vector], config.ema_decay) if config.ema_decay else None
        self.best = [parameter.detach().clone() for parameter in self.optimiser.parameters]

    def step(self, taken: Step, tally: StackedTally, factor: float) -> None:
        """One step of the optimiser on a batch."""
        parameters = self.optimiser.parameters
        losses, logits, labels = self.objective(self.stack(parameters, taken.batch), taken)
        tally.add(losses, logits, labels, len(taken.indices))
        # what no loss reads has no gradient, and only decays
        gradients = torch.autograd.grad(losses.sum(), parameters, materialize_grads=True)
        self.optimiser.step(gradients, factor, self.config.clip_norm)
        if self.ema is not None:
            self.ema.update()

    @torch.no_grad()
    def measure(self, valid: Samples, lines: Sequence[EpochScores]) -> None:
        """Add the scores on valid to the lines of an epoch, and those to the histories; keep what is the best so far.

        A model whose loss is not finite has failed.
        """
        self.stack.head.eval()
        tally = StackedTally(self.fixed)
        with self.ema.swapped_in() if self.ema is not None else nullcontext():
            for indices, batch in valid.batches(EVALUATION_BATCH):
                output = self.stack(self.optimiser.parameters, batch)
                answers = self.fixed(output, Step(samples=valid, indices=indices, batch=batch))
                tally.add(*answers, len(indices))
            better = []
            for position, scores in enumerate(tally.scores("valid")):
                member, line = self.members[position], lines[position]
                epoch = int(line["epoch"])
                if not math.isfinite(line["train/loss"]):
                    member.failure = not_finite(epoch, member.lr)
                    continue
                line |= scores
                weigh_tasks(self.objective.objectives[position], line, "valid")
                member.history.append(line)
                score = (deciding_score(line), -line["valid/loss"])
                if score > member.best_score:
                    member.best_epoch, member.best_score = epoch, score
                    better.append(position)
            for parameter, best in zip(self.optimiser.parameters, self.best, strict=True):
                best[better] = parameter[better]

    def end_some(self, epoch: int) -> None:
        """Let go of the models that have failed, stopped early, or come to the last epoch."""
        kept = []
        for position, member in enumerate(self.members):
            waited = member.failure is None and epoch - member.best_epoch >= self.config.patience
            if member.failure is None and not waited and epoch < self.config.epochs:
                kept.append(position)
                continue
            member.stopped_early = epoch < self.config.epochs
            if member.failure is None:
                member.weights = self.stack.named([best[position].clone() for best in self.best])
        if len(kept) < len(self.members):
            self._keep(kept)

    def _keep(self, kept: list[int]) -> None:
        self.members = [self.members[position] for position in kept]
        if not kept:
            return
        self._set_objectives(*([one.objectives[place] for place in kept] for one in (self.objective, self.fixed)))
        positions = torch.tensor(kept, device=self.optimiser.vector.device)
        if self.ema is not None:
            average = self.optimiser.picked(self.ema.averages[0], positions)
        self.optimiser = self.optimiser.only(positions, *self._rates())
        self.best = [best[positions] for best in self.best]
        if self.ema is not None:
            done, self.ema = self.ema.num_updates, Ema([self.optimiser.vector], self.config.ema_decay)
            self.ema.num_updates = done
            self.ema.averages[0].copy_(average)

    def _set_objectives(self, objectives: Sequence[Objective], fixed: Sequence[Objective]) -> None:
        self.objective = StackedObjective(objectives)
        self.fixed = StackedObjective(fixed)  # tasks weigh what they did at first: valid losses of all epochs compare

    def _rates(self) -> tuple[Tensor, Tensor]:
        device = self.device
        return (
            torch.tensor([member.lr for member in self.members], device=device),
            torch.tensor([member.weight_decay for member in self.members], device=device),
        )
