"""The training loop that people write for cached features: a file a sample, a ``Dataset``, a ``DataLoader``.

The heads are those of fouls with the same options, written with torch's own layers. Loss, optimiser, schedule,
clipping, epochs and measuring are the same too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

MAX_VIEWS, STEPS, DIM = 4, 8, 768
LR, WEIGHT_DECAY, LABEL_SMOOTHING, WARMUP_EPOCHS = 1e-3, 0.05, 0.1, 2
Item = tuple[Tensor, Tensor, list[int]]


class FeatureFiles(Dataset[Item]):
    """A sample is a ``.npy`` file of its views, (V, 8, 768) float16; it is padded to four."""

    def __init__(self, paths: list[Path], labels: list[list[int]]) -> None:
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        views = torch.from_numpy(np.load(self.paths[index])).float()
        padded = torch.zeros(MAX_VIEWS, STEPS, DIM)
        padded[: len(views)] = views
        mask = torch.arange(MAX_VIEWS) < len(views)
        return padded, mask, self.labels[index]


class PlainMlp(nn.Module):
    """mean and spread in time → standardise → Linear, LayerNorm, GELU → mean of the views → a linear layer a task."""

    def __init__(self, num_classes: list[int], hidden: int = 256) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2 * DIM))
        self.register_buffer("std", torch.ones(2 * DIM))
        self.layers = nn.Sequential(nn.Linear(2 * DIM, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.dropout = nn.Dropout(0.3)
        self.outputs = nn.ModuleList(nn.Linear(hidden, number) for number in num_classes)

    def inputs(self, x: Tensor) -> Tensor:
        """From (B, V, T, D) to (B, V, 2 D)."""
        return torch.cat([x.mean(dim=2), x.std(dim=2, unbiased=False)], dim=-1)

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """From (B, V, T, D) and (B, V) to the logits of each task."""
        tracks = self.layers((self.inputs(x) - self.mean) / self.std)
        return self.answer(tracks, mask)

    def answer(self, tracks: Tensor, mask: Tensor) -> list[Tensor]:
        """From (B, V, H) to the logits of each task."""
        kept = mask[..., None].float()
        sample = self.dropout((tracks * kept).sum(dim=1) / kept.sum(dim=1))
        return [output(sample) for output in self.outputs]


class PlainTcn(PlainMlp):
    """standardise → three residual convolutions over time → mean over time → mean of the views → outputs."""

    def __init__(self, num_classes: list[int], hidden: int = 128) -> None:
        super().__init__(num_classes, hidden)
        self.register_buffer("mean", torch.zeros(DIM))
        self.register_buffer("std", torch.ones(DIM))
        widths = [DIM, hidden, hidden]
        self.layers = nn.Sequential(*(Block(width, hidden, 2**index) for index, width in enumerate(widths)))

    def inputs(self, x: Tensor) -> Tensor:
        """As they are."""
        return x

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """From (B, V, T, D) and (B, V) to the logits of each task."""
        steps = ((x - self.mean) / self.std).flatten(0, 1).transpose(1, 2)  # (B V, D, T)
        return self.answer(self.layers(steps).mean(dim=2).unflatten(0, mask.shape), mask)


class Block(nn.Module):
    """Conv1d → GroupNorm → GELU → dropout, + the input; all tracks have eight steps, so nothing is masked."""

    def __init__(self, dim: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, hidden, 3, padding=dilation, dilation=dilation)
        self.norm = nn.GroupNorm(8, hidden)
        self.dropout = nn.Dropout(0.3)
        self.skip = nn.Conv1d(dim, hidden, 1) if dim != hidden else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """From (N, D, T) to (N, H, T)."""
        return self.dropout(F.gelu(self.norm(self.convolution(x)))) + self.skip(x)


PLAIN_HEADS = {"mlp": PlainMlp, "tcn": PlainTcn}


@dataclass(frozen=True, kw_only=True)
class PlainRun:
    """What is to be trained on what."""

    head: str
    train: FeatureFiles
    valid: FeatureFiles
    class_weights: list[Tensor]
    """(classes,) a task."""
    batch_size: int = 64
    """Samples a step."""
    workers: int = 0
    """Processes that load."""

    def loader(self, dataset: FeatureFiles, *, shuffle: bool) -> DataLoader[Item]:
        """Batches of a split."""
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def fit(self, epochs: int, on_epoch: Callable[[float], None], seed: int = 0) -> None:
        """Train, and keep the best weights; after each epoch ``on_epoch`` is called with its valid loss."""
        torch.manual_seed(seed)
        train, valid = self.loader(self.train, shuffle=True), self.loader(self.valid, shuffle=False)
        model = PLAIN_HEADS[self.head]([len(weights) for weights in self.class_weights])
        standardise(model, DataLoader(self.train, batch_size=self.batch_size, num_workers=self.workers))
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=LR, weight_decay=WEIGHT_DECAY)
        warmup, total = WARMUP_EPOCHS * len(train), epochs * len(train)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, warmup, total))
        best, kept = -math.inf, None
        for _ in range(epochs):
            model.train()
            for x, mask, labels in train:
                loss = self.loss(model(x, mask), labels)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            loss, score = self.measure(model, valid)
            if score > best:
                best, kept = score, copy.deepcopy(model.state_dict())
            on_epoch(loss)
        model.load_state_dict(kept)

    def loss(self, logits: list[Tensor], labels: list[Tensor]) -> Tensor:
        """The sum of the tasks' weighted cross-entropies."""
        return sum(
            F.cross_entropy(of_task, label, weights, label_smoothing=LABEL_SMOOTHING)
            for of_task, label, weights in zip(logits, labels, self.class_weights, strict=True)
        )

    @torch.no_grad()
    def measure(self, model: nn.Module, loader: DataLoader[Item]) -> tuple[float, float]:
        """The loss on a split, over all of it at once, and the mean balanced accuracy."""
        model.eval()
        found = [(model(x, mask), labels) for x, mask, labels in loader]
        logits = [torch.cat(of_task) for of_task in zip(*(each for each, _ in found), strict=True)]
        labels = [torch.cat(of_task) for of_task in zip(*(each for _, each in found), strict=True)]
        scores = []
        for of_task, label in zip(logits, labels, strict=True):
            right = of_task.argmax(dim=1) == label
            scores += [torch.stack([right[label == number].float().mean() for number in label.unique()]).mean()]
        return float(self.loss(logits, labels)), float(sum(scores))


def standardise(model: nn.Module, loader: DataLoader[Item]) -> None:
    """Set mean and std of the inputs, over the train split."""
    count, total, squares = 0, 0.0, 0.0
    for x, mask, _ in loader:
        values = model.inputs(x)[mask].flatten(0, -2).double()
        count += len(values)
        total += values.sum(dim=0)
        squares += values.square().sum(dim=0)
    mean = total / count
    model.mean.copy_(mean)
    model.std.copy_((squares / count - mean.square()).sqrt())


def factor(step: int, warmup: int, total: int) -> float:
    """On the learning rate: warm-up, then a cosine to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
