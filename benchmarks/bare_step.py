"""What would be gained by writing the training step of ``mlp`` out, or by compiling it?

The step on the store of ``mvfoul_size.py`` once as fouls takes it, once as a bare function of torch's operations that
knows nothing but this one head, these two tasks and this one loss, and once that function through ``torch.compile``; in
turn, an epoch of the train split each. The seconds before the first compiled epoch is over are told, since a run
of a hundred epochs has to earn them.

    python benchmarks/bare_step.py [--threads 2] [--batch-size 64] [--repeat 5]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mvfoul_size import TASKS, make_world
from torch import Tensor, nn
from torch.nn import functional as F

from fouls.heads.determinism import deterministic
from fouls.heads.objective import make_objective
from fouls.heads.precision import training_dtype
from fouls.heads.predictions import reduced
from fouls.heads.prepare import Prepared, prepare
from fouls.heads.registry import make_head_config
from fouls.heads.run_options import RunOptions
from fouls.heads.samples import Samples
from fouls.heads.train import fit
from fouls.heads.training.clipping import clip_in_step

EPOCHS = 5
HIDDEN, DROPOUT, SMOOTHING = 256, 0.3, 0.1
"""Those of ``mlp`` and of the loss, as they are without options."""

Loss = Callable[[list[Tensor], list[Tensor], Tensor, Tensor, Tensor, Tensor], Tensor]


def bare_loss(
    parameters: list[Tensor], weights: list[Tensor], x: Tensor, owners: Tensor, counts: Tensor, labels: Tensor
) -> Tensor:
    """The loss of a batch.

    Args:
        parameters: of the hidden layer, its norm and the outputs.
        weights: (classes,) what each class weighs, a task.
        x: (N, D) float32 or bfloat16: the tracks.
        owners: (N,) the sample of each track.
        counts: (B,) the tracks of each sample.
        labels: (B, tasks)
    """
    weight, bias, scale, shift, *outputs = parameters
    hidden = F.linear(x, weight.to(x.dtype)) + bias
    hidden = F.gelu(F.layer_norm(hidden, (HIDDEN,), scale, shift))
    pooled = hidden.new_zeros(len(counts), HIDDEN).index_add_(0, owners, hidden) / counts[:, None]
    pooled = F.dropout(pooled, DROPOUT)
    losses = [
        F.cross_entropy(
            F.linear(pooled, *outputs[2 * task : 2 * task + 2]), labels[:, task], of_task, label_smoothing=SMOOTHING
        )
        for task, of_task in enumerate(weights)
    ]
    return torch.stack(losses).sum()


@dataclass(frozen=True, kw_only=True)
class Bare:
    """Training with a bare loss."""

    loss: Loss
    weights: list[Tensor]
    """(classes,) what each class weighs, a task."""
    samples: Samples
    batch_size: int

    def epochs(self, count: int) -> list[float]:
        """The seconds of some epochs."""
        samples, labels = self.samples, torch.stack([self.samples.labels[task] for task in TASKS], dim=1)
        layers = nn.Sequential(nn.Linear(samples.values.shape[2], HIDDEN), nn.LayerNorm(HIDDEN))
        outputs = [nn.Linear(HIDDEN, classes) for classes in TASKS.values()]
        parameters = [parameter for module in (layers, *outputs) for parameter in module.parameters()]
        optimiser = torch.optim.AdamW(parameters, fused=True)
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            for indices in torch.randperm(len(samples)).split(self.batch_size):
                tracks = samples.tracks.index_select(0, indices)
                there = tracks >= 0
                places = torch.nonzero(there.flatten())[:, 0]
                rows = samples.clips[0, :, 0].index_select(0, tracks.flatten().index_select(0, places))
                x = samples.values[:, 0].index_select(0, rows)
                of_batch = places // tracks.shape[1], there.sum(dim=1), labels[indices]
                self.loss(parameters, self.weights, x, *of_batch).backward()
                clip_in_step(optimiser, parameters, 1.0)
                optimiser.step()
                optimiser.zero_grad()
            seconds.append(time.perf_counter() - start)
        return seconds


def our_epochs(prepared: Prepared, samples: Samples, options: argparse.Namespace) -> list[float]:
    """The seconds of some epochs of fouls, measuring nothing on valid."""
    config = prepared.config
    train = dataclasses.replace(config.train, epochs=EPOCHS + 1, threads=options.threads, batch_size=options.batch_size)
    ends: list[float] = []
    fit(
        config.build_head(), samples, None, config.tasks, train, config.loss, lambda _: ends.append(time.perf_counter())
    )
    return [end - start for start, end in itertools.pairwise(ends)]


def measure(prepared: Prepared, options: argparse.Namespace) -> None:
    """Let the three take turns."""
    head = prepared.config.build_head()
    samples = reduced(head, prepared.samples).select(prepared.train)
    head.fit_inputs(samples)
    ready = head.standardised(samples, training_dtype(prepared.config.train.precision))
    losses = make_objective(samples, prepared.config.tasks, prepared.config.loss).losses
    bare = Bare(
        loss=bare_loss,
        weights=[losses[task].weights for task in TASKS],
        samples=ready,
        batch_size=options.batch_size,
    )
    compiled = dataclasses.replace(bare, loss=torch.compile(bare_loss, dynamic=True))
    first = compiled.epochs(1)[0]
    seconds: dict[str, list[float]] = {"fouls": [], "bare": [], "compiled": []}
    for _ in range(options.repeat):
        seconds["fouls"] += our_epochs(prepared, samples, options)
        seconds["bare"] += bare.epochs(EPOCHS)
        seconds["compiled"] += compiled.epochs(EPOCHS)
    print(f"an epoch of {len(samples)} samples in batches of {options.batch_size}, {options.threads} threads")
    for name, values in seconds.items():
        spread = f"{min(values):.4f} to {max(values):.4f} s, {len(values)} epochs"
        print(f"   {name:8s} {statistics.median(values):.4f} s ({spread})")
    saved = statistics.median(seconds["bare"]) - statistics.median(seconds["compiled"])
    after = f"earned after {first / saved:.0f} epochs" if saved > 0 else "never earned"
    print(f"   compiling and the first epoch took {first:.1f} s: {after}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64, help="samples a step")
    parser.add_argument("--repeat", type=int, default=5, help="times that each trains, 5 epochs at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, manifest, _ = make_world(Path(folder))
        prepared = prepare(store, manifest, RunOptions(head=make_head_config("mlp", {})), manifest_path="m")
        with deterministic(0, torch.device("cpu"), threads=options.threads):
            measure(prepared, options)


if __name__ == "__main__":
    main()
